"""Hooks run in a process of their own, which may hang, crash, print and take memory without harm to anybody else."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dimse_mesh.dimse.encoding import EXPLICIT_LE
from dimse_mesh.hooks import HookFailed, HookRunner
from dimse_mesh.runtime.settings_hooks import Hook, HooksSettings
from tests.support.process import wait_until
from tests.unit.hooks.test_chain import decode, encode, made

EXAMPLES = "tests.unit.hooks.examples"

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.setenv("DIMSE_MESH_NATS__TOKEN", "secret")


@asynccontextmanager
async def runner(**settings: Any) -> AsyncIterator[HookRunner]:
    made_here = HookRunner(HooksSettings(**settings))
    try:
        yield made_here
    finally:
        await made_here.close()


def hooks(name: str) -> list[Hook]:
    return [Hook.model_validate({"python": f"{EXAMPLES}:{name}"})]


async def name_after(run: HookRunner, name: str) -> str:
    """Apply a hook; return the patient's name after it."""
    result = await run.run(hooks(name), EXPLICIT_LE, encode(made()))
    return str(decode(result.header).PatientName)


async def test_a_hook_that_hangs_is_killed_and_the_next_one_works() -> None:
    async with runner(deadline=3) as run:
        assert await name_after(run, "changes") == "DOE^JOHN"
        with pytest.raises(HookFailed, match="longer than 3 s"):
            await name_after(run, "hangs")
        assert await name_after(run, "changes") == "DOE^JOHN"


async def test_memory_is_limited() -> None:
    async with runner(memory=400 << 20) as run:
        with pytest.raises(HookFailed, match=r"delivery\.hooks\.memory"):
            await name_after(run, "takes_all_memory")
        assert await name_after(run, "changes") == "DOE^JOHN"


async def test_a_process_that_dies_is_told_and_started_again() -> None:
    async with runner() as run:
        assert await name_after(run, "changes") == "DOE^JOHN"
        with pytest.raises(HookFailed, match="SIGSEGV"):
            await name_after(run, "dies")
        assert await name_after(run, "changes") == "DOE^JOHN"


async def test_what_a_hook_prints_gets_nowhere() -> None:
    async with runner() as run:
        assert await name_after(run, "prints") == "Doe^John"
        assert await name_after(run, "changes") == "DOE^JOHN"


async def test_the_process_has_none_of_our_environment() -> None:
    async with runner() as run:
        result = await run.run(hooks("address_space"), EXPLICIT_LE, encode(made()))
        assert not decode(result.header).PatientComments


async def test_check_loads_hooks_without_an_object() -> None:
    async with runner() as run:
        await run.check(hooks("changes"))
        with pytest.raises(HookFailed, match=r"hook 1 \(python\).*nothing_of_the_kind is no function"):
            await run.check(hooks("nothing_of_the_kind"))


async def test_what_a_hook_has_started_ends_with_its_process(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    async with runner(deadline=3) as run:
        left = int(await name_after(run, "starts_another_process"))
        object_ = made()
        object_.PatientComments = str(told)
        with pytest.raises(HookFailed, match="longer than 3 s"):
            await run.run(hooks("starts_another_process_and_hangs"), EXPLICIT_LE, encode(object_))
        for pid in (left, int(told.read_text())):
            wait_until(lambda pid=pid: not is_running(pid), f"{pid} has ended")  # type: ignore[misc]


def is_running(pid: int) -> bool:
    """Tell whether a process is there, and no zombie that nobody has asked for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
