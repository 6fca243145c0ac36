"""A real Orthanc with its own configuration and storage, HTTP and DICOM on 127.0.0.1."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.ports import reserve_port
from tests.support.process import Child, require_tool

PROGRAM = "/usr/sbin/Orthanc"


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running Orthanc."""

    child: Child
    ae_title: str
    dicom_port: int
    http_port: int

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        ae_title: str = "ORTHANC",
        modalities: Mapping[str, tuple[str, int]] | None = None,
        dicom_port: int | None = None,
        lua: str = "",
        env: Mapping[str, str] | None = None,
        settings: Mapping[str, object] | None = None,
        verbose: bool = True,
    ) -> Self:
        """Start it; `modalities` are symbolic name -> (AE title, port on 127.0.0.1)."""
        dicom_port = reserve_port() if dicom_port is None else dicom_port
        http_port = reserve_port()
        directory.mkdir(parents=True, exist_ok=True)
        scripts = []
        if lua:
            script = directory / "script.lua"
            script.write_text(lua)
            scripts.append(str(script))
        config: dict[str, object] = {
            "Name": ae_title,
            "StorageDirectory": str(directory / "db"),
            "IndexDirectory": str(directory / "db"),
            "TemporaryDirectory": str(directory),
            "Plugins": [],
            "LuaScripts": scripts,
            "HttpPort": http_port,
            "HttpBindAddresses": ["127.0.0.1"],
            "RemoteAccessAllowed": True,
            "AuthenticationEnabled": False,
            "DicomAet": ae_title,
            "DicomPort": dicom_port,
            "DicomCheckCalledAet": False,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowMove": True,
            "DicomAlwaysAllowGet": True,
            "UnknownSopClassAccepted": True,
            "DicomModalities": {
                name: {"AET": title, "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True}
                for name, (title, port) in (modalities or {}).items()
            },
            "StableAge": 1,
            "SynchronousCMove": True,
            **(settings or {}),
        }
        path = directory / "orthanc.json"
        path.write_text(json.dumps(config, indent=1))
        options = ["--verbose"] if verbose else []
        child = Child([require_tool(PROGRAM), *options, str(path)], log=directory / "orthanc.log", env=env)
        child.wait_for_port(http_port)
        child.wait_for_port(dicom_port)
        return cls(child, ae_title, dicom_port, http_port)

    def get(self, path: str) -> Any:
        """Return the JSON that GET `path` answers."""
        return json.loads(self.get_bytes(path))

    def get_bytes(self, path: str) -> bytes:
        """Return the body that GET `path` answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=20) as reply:
            body: bytes = reply.read()
        return body

    def post(self, path: str, body: object, *, timeout: float = 60) -> Any:
        """Return the JSON that POST `path` answers."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(
            urllib.request.Request(url, raw, method="POST"), timeout=timeout
        ) as reply:
            return json.loads(reply.read() or b"null")

    def delete(self, path: str) -> None:
        """Delete a resource."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=60) as reply:
            reply.read()

    def stop(self) -> None:
        """End the process: it would take 3 s to close a database that nobody opens again."""
        self.child.stop(timeout=0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
