"""A recorder never makes its process wait, counts what it loses, and writes what it kept when it can again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from dimse_mesh.audit import AuditParticipant, AuditRecord, AuditRecorder, AuditSource, AuditTrail
from dimse_mesh.audit.codes import AuditEvent
from dimse_mesh.audit.repeats import Repeats
from tests.support.audit import Told, messages_in
from tests.support.process import wait_until

SOURCE = AuditSource("hospital", "association", host="pacs-gate", pid=4711)


def record(why: str, *, repeats: str | None = None) -> AuditRecord:
    return AuditRecord(
        event=AuditEvent.SECURITY_ALERT,
        description=why,
        participants=(AuditParticipant(user_id="A", requestor=True),),
        repeats=repeats,
    )


def recorder_in(directory: Path, *, most_waiting: int = 1000) -> AuditRecorder:
    trail = AuditTrail(directory, max_bytes=1 << 24, is_forwarded=False)
    return AuditRecorder(trail, SOURCE, most_waiting=most_waiting)


def whys(directory: Path) -> list[str]:
    return [Told(text).why for text in messages_in(directory)]


def test_what_is_noted_is_written_in_order_and_at_the_latest_when_it_stops(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    recorder.start()
    for number in range(700):
        recorder.note(record(str(number)))
    recorder.stop()
    assert whys(tmp_path) == [str(number) for number in range(700)]
    assert recorder.numbers().written == 700


def test_too_many_at_once_are_counted_and_reported(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path, most_waiting=10)
    for number in range(25):
        recorder.note(record(str(number)))
    recorder.start()
    recorder.stop()
    assert whys(tmp_path)[:10] == [str(number) for number in range(10)]
    assert whys(tmp_path)[10].startswith("15 records were lost")
    assert recorder.numbers().lost["overflow"] == 15


def test_what_the_disk_does_not_take_is_written_later(tmp_path: Path) -> None:
    folder = tmp_path / "trail"
    recorder = recorder_in(folder)
    folder.rmdir()
    folder.write_text("in the way")
    recorder.start()
    recorder.note(record("first"))
    wait_until(lambda: recorder.numbers().failing, "the trail can't be written")
    folder.unlink()
    folder.mkdir()
    wait_until(lambda: not recorder.numbers().failing, "the trail is written again")
    recorder.stop()
    assert whys(folder) == ["first"]
    assert recorder.numbers().lost == {"overflow": 0, "stopped": 0, "removed": 0}


def test_the_same_again_and_again_is_counted_not_written() -> None:
    repeats = Repeats(one_by_one=3, interval=60)
    again: Callable[[float], bool] = lambda now: repeats.passes(record("no", repeats="x"), now)  # noqa: E731
    assert [again(now) for now in range(5)] == [True, True, True, False, False]
    assert repeats.passes(record("other", repeats="y"), 5)
    assert repeats.due(59) == []
    assert [told.description for told in repeats.due(60)] == ["no; 2 like this in the last minute"]
    assert again(61)
    assert repeats.due(10_000) == []


def test_noting_takes_no_time(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path, most_waiting=100_000)
    one = record("x")
    began = time.thread_time()
    for _ in range(10_000):
        recorder.note(one)
    assert time.thread_time() - began < 1.0  # 100 us each; a few are usual
