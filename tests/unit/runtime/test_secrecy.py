"""A process of ours leaves no core dump and can't be traced by another one of its user, unless that is allowed."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mesh import Mesh, zone_config
from tests.support.ports import reserve_port

GET_DUMPABLE = """
import ctypes, resource, sys
from dimse_mesh.runtime.secrecy import keep_secrets
keep_secrets(allow_debuggers=sys.argv[1] == "open")
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[0])
"""


@pytest.fixture
def core_limit() -> Iterator[int]:
    """Let children dump core, as far as the machine allows; yield how many bytes."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    if before[1] == 0:
        pytest.skip("this machine allows no core dumps anyway")
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_CORE, before)


GET_KEY_LOG = """
import ssl, sys
from dimse_mesh.runtime.secrecy import keep_secrets
keep_secrets(allow_debuggers=sys.argv[1] == "open")
print(ssl.create_default_context().keylog_filename)
"""


def core_limit_of(pid: int) -> str:
    """Return the soft limit of a process, as the kernel writes it."""
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line.split()[4] for line in limits if line.startswith("Max core"))


@pytest.mark.parametrize(("word", "dumpable"), [("hidden", "0"), ("open", "1")])
def test_a_hidden_process_is_not_dumpable(core_limit: int, word: str, dumpable: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GET_DUMPABLE, word], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [dumpable, "0" if word == "hidden" else str(core_limit)]


@pytest.mark.parametrize(
    ("word", "said"), [("hidden", "is ignored"), ("open", "can decrypt our TLS connections")]
)
def test_no_tls_keys_are_written_unless_debuggers_are_allowed(tmp_path: Path, word: str, said: str) -> None:
    file = tmp_path / "keys"
    done = subprocess.run(
        [sys.executable, "-c", GET_KEY_LOG, word],
        env={**os.environ, "SSLKEYLOGFILE": str(file)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == (str(file) if word == "open" else "None")
    assert "SSLKEYLOGFILE" in done.stderr
    assert said in done.stderr


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.usefixtures("core_limit")
def test_every_process_of_a_mesh_is_hidden_unless_debuggers_are_allowed(
    tmp_path: Path, allowed: bool
) -> None:
    more = {"observability": {"allow_debuggers": allowed}}
    config = zone_config("hospital", listener=reserve_port(), more=more)
    with Mesh.start(tmp_path, [config]) as mesh:
        pids = mesh.pids()
        assert len(pids) == 7
        limits = {name: core_limit_of(pid) for name, pid in pids.items()}
    if allowed:
        assert "0" not in limits.values()
    else:
        assert set(limits.values()) == {"0"}, limits
