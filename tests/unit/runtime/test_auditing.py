"""The audit trail of a process: its start, its stop, and whether its configuration is the one of last time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from dimse_mesh.runtime.auditing import auditing
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.settings import ZoneSettings
from tests.support.audit import Told, messages_in


def run(directory: Path, *, failing: bool = False, **more: Any) -> None:
    """Keep a trail for a process that does nothing, or fails."""
    settings = ZoneSettings(zone="hospital", audit={"directory": directory}, **more)  # type: ignore[arg-type]

    async def main() -> None:
        async with auditing(settings, "store", Counters()) as audit:
            assert audit is not None
            if failing:
                raise RuntimeError("CANARY")

    anyio.run(main)


def events(directory: Path) -> list[str]:
    return [Told(text).event.rpartition("/")[2] for text in messages_in(directory)]


def test_another_configuration_is_reported(tmp_path: Path) -> None:
    run(tmp_path)
    run(tmp_path)
    assert events(tmp_path) == ["Application Start", "Application Stop"] * 2
    run(tmp_path, subject_root="OTHER")
    assert events(tmp_path)[4:] == ["Software Configuration", "Application Start", "Application Stop"]
    changed = Told(messages_in(tmp_path)[4])
    assert changed.details["sha256"] != changed.details["sha256 before"]
    assert changed.details["sha256"] == Told(messages_in(tmp_path)[5]).details["sha256"]


def test_a_process_that_fails_is_reported_as_one(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        run(tmp_path, failing=True)
    stopped = Told(messages_in(tmp_path)[-1])
    assert (stopped.event, stopped.outcome) == ("Application Activity/Application Stop", "8")
    assert "RuntimeError" in stopped.why
    assert "CANARY" not in stopped.why


@pytest.mark.parametrize("given", ["a file", "a short key"])
def test_a_process_that_can_keep_no_trail_does_not_start(tmp_path: Path, given: str) -> None:
    path = tmp_path / "file"
    path.write_text("short")
    audit = {"directory": path} if given == "a file" else {"directory": tmp_path / "trail", "key": path}
    settings = ZoneSettings(zone="hospital", audit=audit)  # type: ignore[arg-type]

    async def main() -> None:
        async with auditing(settings, "store", Counters()):
            pytest.fail("it has started")

    with pytest.raises(StartError, match="audit"):
        anyio.run(main)
