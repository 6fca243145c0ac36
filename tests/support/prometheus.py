"""A running Prometheus, and its API."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import yaml

from tests.support.ports import reserve_port
from tests.support.process import Child, require_tool, wait_until


class Prometheus:
    """A server on a port of 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        """Tell whether it answers queries; until it has read its store it says 503."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=20):
                return True
        except urllib.error.URLError:
            return False

    def ask(self, path: str, **query: str) -> Any:
        """Return the data of an API call that must succeed."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            reply = json.load(answer)
        assert reply["status"] == "success", reply
        return reply["data"]

    def value(self, expression: str) -> list[dict[str, Any]]:
        """Return what an instant query finds."""
        return cast("list[dict[str, Any]]", self.ask("query", query=expression)["result"])


@contextmanager
def prometheus(
    directory: Path, config: Mapping[str, Any], *options: str, port: int | None = None
) -> Iterator[Prometheus]:
    """Run a server with this configuration for the length of the block."""
    binary = require_tool("prometheus")
    file = directory / "prometheus.yaml"
    file.write_text(yaml.safe_dump(dict(config)))
    port = port or reserve_port()
    command = [
        binary,
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        *options,
    ]
    with Child(command, log=directory / "prometheus.log") as child:
        child.wait_for_port(port)
        server = Prometheus(port)
        wait_until(server.is_ready, "Prometheus to be ready")
        yield server
