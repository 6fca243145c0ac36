"""The power fails: what was not flushed is gone, and what was acknowledged isn't among it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.durable.disks import Disk, disk
from tests.durable.modality import Modality, check, has_all
from tests.durable.site import Inbox, site


def power_failure(directory: Path, store_on: Disk, number: int, objects: int) -> tuple[Disk, int]:
    """Store on a disk, cut the power, deliver from what is left; return the new disk, and what was acknowledged."""
    ground = directory / f"round{number}"
    ground.mkdir()
    (ground / "data").symlink_to(store_on.mounted)
    small = {"spool": {"max_bytes": 200 << 20}}
    with site(ground, hospital=small) as where:
        port = where.port
        with Modality(where, "CT1", number) as modality:
            where.wait_until(partial(modality.has_more_than, objects), "objects are acknowledged")
            os.kill(where.mesh.pids()["nats-server"], signal.SIGSTOP)
            survived = store_on.copy(directory / f"survived{number}.img")
            for pid in [where.mesh.child.pid, *where.mesh.pids().values()]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    store_on.unmount()
    survived.mount()
    (ground / "data").unlink()
    (ground / "data").symlink_to(survived.mounted)
    inbox = Inbox()
    with site(ground, hospital=small, port=port) as where, where.destination(inbox):
        where.wait_until(partial(has_all, inbox, modality), "everything acknowledged arrives")
        check(inbox, modality)
    return survived, len(modality.acknowledged)


def failures(directory: Path, count: int) -> str:
    """Let the power fail so often; return what to print."""
    acknowledged = 0
    with disk(directory, 400) as first:
        current = first
        try:
            for number in range(count):
                before = current
                current, more = power_failure(directory, current, number, 10 + number % 7)
                acknowledged += more
                before.image.unlink()
        finally:
            current.unmount()
    return f"{count} power failures, {acknowledged} objects acknowledged, 0 lost"


def test_a_power_failure(tmp_path: Path) -> None:
    failures(tmp_path, 1)


@pytest.mark.soak
def test_soak_of_power_failures(tmp_path: Path) -> None:
    print(failures(tmp_path, int(os.environ.get("SOAK_FAILURES", "50"))))
