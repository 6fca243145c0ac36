"""A real S3 server, versitygw, on 127.0.0.1: its buckets are folders, their objects files."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.support.ports import reserve_port
from tests.support.process import Child

BUILD = Path(__file__).parent / "versitygw/build.sh"
ACCESS_KEY, SECRET_KEY = "mesh-test", "mesh-test-secret"
BUCKET = "cohort"


def program() -> str:
    """Return the server's program, built from source once; without Go, skip or fail in CI."""
    built = subprocess.run(["sh", str(BUILD)], capture_output=True, text=True, check=False)
    if built.returncode == 0:
        return built.stdout.strip()
    last = (built.stderr.strip().splitlines() or ["?"])[-1]
    if "Go is missing" in last and os.environ.get("CI") != "true":
        pytest.skip(last)
    pytest.fail(f"versitygw was not built: {last}")


@dataclass
class S3Server:
    """The server, which can be stopped, killed, frozen, and started again on its port."""

    root: Path
    log: Path
    port: int = field(default_factory=reserve_port)
    _child: Child | None = None

    @property
    def bucket(self) -> Path:
        """The folder of its bucket."""
        return self.root / BUCKET

    def settings(self, prefix: str = "", **more: Any) -> dict[str, Any]:
        """Return the settings of a place in its bucket."""
        return {
            "url": f"s3://{BUCKET}/{prefix}".rstrip("/"),
            "timeout": 5.0,
            "s3": {
                "endpoint": f"http://127.0.0.1:{self.port}",
                "region": "us-east-1",
                "access_key_id": ACCESS_KEY,
                "secret_access_key": SECRET_KEY,
            },
            **more,
        }

    def start(self) -> None:
        """Start it."""
        self.bucket.mkdir(parents=True, exist_ok=True)
        self._child = Child(
            [program(), "--port", f"127.0.0.1:{self.port}", "posix", str(self.root)],
            log=self.log,
            env={"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY},
        )
        self._child.wait_for_port(self.port)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._child is not None
        self._child.send_signal(number)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        assert self._child is not None
        self.send_signal(signal.SIGKILL)
        self._child.stop()
        self._child = None

    def uploads(self) -> list[Path]:
        """Return the uploads in parts that are not complete."""
        return list((self.bucket / ".sgwtmp/multipart").glob("*/*"))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None:
            self.send_signal(signal.SIGCONT)
            self._child.stop()
