"""A folder on a full disk, and an executor that is killed: nothing is acknowledged that isn't there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.durable.disks import disk
from tests.durable.site import message_of
from tests.storage.mesh import Stores, files_in, stores, unfinished_in
from tests.support.files import DicomFile, synthetic
from tests.support.process import wait_until
from tests.support.scripted import Aborted, Closed, Rejected
from tests.support.wire import Status, fragments, pdu


def test_a_full_disk(tmp_path: Path) -> None:
    with disk(tmp_path, 24) as small:
        folder = small.mounted / "folder"
        routes = [{"called": "LATER", "to": {"ae": "FOLDER"}, "delivery": "durable"}]
        with stores(tmp_path / "mesh", {"FOLDER": {"url": f"file://{folder}"}}, routes=routes) as running:
            sent = [synthetic(number, 1_500_000, study=1) for number in range(20)]
            statuses = running.store("FOLDER", *sent)
            assert set(statuses) == {0, Status.OUT_OF_RESOURCES}
            acknowledged = [content for content, status in zip(sent, statuses, strict=True) if status == 0]
            assert list(files_in(folder).values()) == sorted(acknowledged, key=name_of)
            assert not unfinished_in(folder)
            assert "full: No space left on device" in running.mesh.log.read_text()
            # A durable route waits for room.
            late = synthetic(100, 1_500_000, study=2)
            assert running.store("LATER", late) == [0]
            for path in list(folder.rglob("*.dcm"))[:4]:
                path.unlink()
            wait_until(lambda: late in files_in(folder).values(), "it has come", timeout=60)


def name_of(content: DicomFile) -> str:
    """Return what files are sorted by."""
    return content.sop_instance + ".dcm"


def stored(running: Stores, content: DicomFile) -> bool:
    """Tell whether an object can be stored yet."""
    try:
        return running.store("FOLDER", content) == [0]
    except (Rejected, Aborted, Closed):
        return False


def test_a_killed_executor(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with stores(tmp_path / "mesh", {"FOLDER": {"url": f"file://{folder}"}}) as running:
        content = synthetic(1, 3_000_000)
        with running.open("FOLDER", content) as client:
            whole = [pdu(4, value) for value in fragments(message_of(content), [16378])]
            client.send(b"".join(whole[: len(whole) * 2 // 3]))
            wait_until(lambda: bool(unfinished_in(folder)), "it has begun")
            before = running.mesh.pids()["cloud/scu"]
            os.kill(before, signal.SIGKILL)
            with pytest.raises((Aborted, Closed)):
                client.receive_message()
        assert not files_in(folder)
        wait_until(
            lambda: running.mesh.pids().get("cloud/scu", before) != before, "it is started again", timeout=60
        )
        wait_until(lambda: stored(running, content), "it stores again", timeout=60)
        assert list(files_in(folder).values()) == [content]
