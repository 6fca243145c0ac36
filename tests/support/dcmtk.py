"""DCMTK's programs as peers, always by /usr/bin path: the virtual environment has pynetdicom's namesakes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import reserve_port
from tests.support.process import Child, require_tool

BIN = "/usr/bin"
NO_DELAY = {"TCP_NODELAY": "1"}
"""DCMTK switches Nagle off when this variable is set; its stock environment leaves it on."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a client program did."""

    code: int
    output: str


def run(
    tool: str,
    *arguments: object,
    env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    cwd: Path | None = None,
) -> Result:
    """Run a DCMTK program to its end and return exit code and output (standard error included)."""
    done = subprocess.run(
        [require_tool(f"{BIN}/{tool}"), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(env or {})},
        timeout=timeout,
        cwd=cwd,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(errors="replace"))


def echoscu(port: int, *, called: str, calling: str = "ECHOSCU", more: Sequence[str] = ()) -> Result:
    """Run echoscu against 127.0.0.1."""
    return run("echoscu", "-v", "-to", 10, "-aet", calling, "-aec", called, *more, "127.0.0.1", port)


def storescu(
    port: int,
    *files: Path,
    called: str,
    calling: str = "STORESCU",
    more: Sequence[str | int] = (),
    env: Mapping[str, str] | None = None,
    timeout: float = 120.0,
) -> Result:
    """Run storescu against 127.0.0.1; every file in one association."""
    return run(
        "storescu",
        "-v",
        *("-to", 10, "-aet", calling, "-aec", called),
        *more,
        "127.0.0.1",
        port,
        *files,
        env=env,
        timeout=timeout,
    )


def storescp(
    directory: Path,
    *,
    port: int | None = None,
    ae_title: str = "STORESCP",
    more: Sequence[str | int] = (),
    env: Mapping[str, str] | None = None,
    level: str = "-v",
) -> tuple[Child, int]:
    """Start storescp writing data sets exactly as received below `directory`; return it and its port."""
    port = reserve_port() if port is None else port
    directory.mkdir(parents=True, exist_ok=True)
    command = [
        require_tool(f"{BIN}/storescp"),
        level,
        "-aet",
        ae_title,
        "+B",
        "+uf",
        "-dhl",
        "-od",
        str(directory),
    ]
    child = Child([*command, *map(str, more), str(port)], log=directory.with_suffix(".log"), env=env)
    child.wait_for_port(port)
    return child, port


DCMQRSCP_CONFIG = """\
NetworkTCPPort  = {port}
MaxPDUSize      = {max_pdu}
MaxAssociations = 16

HostTable BEGIN
{hosts}
HostTable END

VendorTable BEGIN
VendorTable END

AETable BEGIN
{ae_title}  {storage}  RW (1000, 16gb)  ANY
AETable END
"""


def dcmqrscp(
    directory: Path,
    *,
    ae_title: str,
    destinations: Mapping[str, int] | None = None,
    port: int | None = None,
    max_pdu: int = 16384,
    env: Mapping[str, str] | None = None,
) -> tuple[Child, int]:
    """Start an archive below `directory` that can C-MOVE to `destinations` (AE title -> local port)."""
    port = reserve_port() if port is None else port
    storage = directory / "storage"
    storage.mkdir(parents=True, exist_ok=True)
    hosts = "\n".join(
        f"host{index} = ({title}, 127.0.0.1, {number})"
        for index, (title, number) in enumerate((destinations or {}).items())
    )
    config = directory / "dcmqrscp.cfg"
    config.write_text(
        DCMQRSCP_CONFIG.format(port=port, max_pdu=max_pdu, hosts=hosts, ae_title=ae_title, storage=storage)
    )
    command = [require_tool(f"{BIN}/dcmqrscp"), "-v", "-dhl", "-c", str(config)]
    child = Child(command, log=directory / "dcmqrscp.log", env=env)
    child.wait_for_port(port)
    return child, port


def wlmscpfs(directory: Path, *, ae_title: str, port: int | None = None) -> tuple[Child, int]:
    """Start a worklist server for `ae_title` over the *.wl files in `directory`/`ae_title`."""
    port = reserve_port() if port is None else port
    worklists = directory / ae_title
    worklists.mkdir(parents=True, exist_ok=True)
    (worklists / "lockfile").touch()
    command = [
        require_tool(f"{BIN}/wlmscpfs"),
        "-v",
        "--single-process",
        "-dhl",
        "-dfp",
        str(directory),
        str(port),
    ]
    child = Child(command, log=directory / "wlmscpfs.log")
    child.wait_for_port(port)
    return child, port
