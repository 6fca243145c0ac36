"""Records reach a real rsyslog over TLS: all of them, though it is cut off, killed, or away when they are written."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trustme

from dimse_mesh.audit import AuditParticipant, AuditRecord, AuditRecorder
from dimse_mesh.audit.codes import AuditEvent
from dimse_mesh.runtime.auditing import recorder_of
from dimse_mesh.runtime.settings_audit import AuditSettings
from tests.interop.audit.conftest import Site
from tests.support.audit import Told, messages_in
from tests.support.ports import reserve_port
from tests.support.process import wait_until


def record(why: str) -> AuditRecord:
    return AuditRecord(
        event=AuditEvent.SECURITY_ALERT,
        description=why,
        participants=(AuditParticipant(user_id="A", requestor=True),),
    )


def recorder_to(site: Site, directory: Path, *, settled_after: float = 2.0) -> AuditRecorder:
    settings = AuditSettings.model_validate(
        {"directory": directory, "repository": site.settings(settled_after=settled_after)}
    )
    return recorder_of(settings, "hospital", "association")


def note(recorder: AuditRecorder, first: int, last: int) -> Callable[[], bool]:
    """Note records; return what tells that they are written."""
    for number in range(first, last + 1):
        recorder.note(record(str(number)))
    return lambda: recorder.numbers().written >= last


def sequences(site: Site) -> set[int]:
    return {Told(text).sequence for text in site.rsyslog.received()}


def has_received(site: Site, last: int) -> bool:
    return sequences(site) >= set(range(1, last + 1))


def test_what_is_written_while_the_repository_is_away_reaches_it_later(site: Site, tmp_path: Path) -> None:
    recorder = recorder_to(site, tmp_path / "trail")
    recorder.start()
    wait_until(note(recorder, 1, 300), "300 records on disk")
    numbers = recorder.numbers()
    assert numbers.connected is False
    assert numbers.waiting is not None
    assert numbers.waiting > 100_000
    site.rsyslog.start()
    wait_until(lambda: len(site.rsyslog.received()) >= 300, "300 records at the repository", timeout=60)
    assert site.rsyslog.received() == messages_in(tmp_path / "trail")
    wait_until(lambda: recorder.numbers().waiting == 0, "they count as received")
    recorder.stop()


def test_none_is_missing_when_the_repository_dies_with_records_unread(site: Site, tmp_path: Path) -> None:
    recorder = recorder_to(site, tmp_path / "trail", settled_after=60.0)
    recorder.start()
    site.rsyslog.start()
    for first in (1, 301, 601):
        wait_until(note(recorder, first, first + 99), "on disk")
        wait_until(partial(has_received, site, first + 99), "it receives", timeout=60)
        site.rsyslog.pause()
        note(recorder, first + 100, first + 199)
        wait_until(lambda: site.rsyslog.unread() > 50_000, "it is sent what it does not read")
        site.rsyslog.kill()
        wait_until(note(recorder, first + 200, first + 299), "more on disk")
        site.rsyslog.start()
    wait_until(lambda: len(sequences(site)) >= 900, "all of them at the repository", timeout=90)
    recorder.stop()
    assert sequences(site) == set(range(1, 901))
    texts = {Told(text).sequence: text for text in messages_in(tmp_path / "trail")}
    assert all(text == texts[Told(text).sequence] for text in site.rsyslog.received())


def test_a_repository_with_another_certificate_gets_nothing(site: Site, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    site.rsyslog.start()
    tls = site.settings()["tls"] | {"ca": str(other)}
    settings = AuditSettings.model_validate(
        {"directory": tmp_path / "trail", "repository": site.settings(tls=tls)}
    )
    recorder = recorder_of(settings, "hospital", "association")
    recorder.start()
    note(recorder, 1, 3)
    wait_until(lambda: recorder.numbers().connected is False, "it was tried")
    recorder.stop()
    assert site.rsyslog.received() == []
    assert recorder.numbers().written == 3


def test_udp_carries_one_message_a_datagram(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        repository = {"host": "127.0.0.1", "port": receiver.getsockname()[1], "protocol": "udp"}
        settings = AuditSettings.model_validate({"directory": tmp_path / "trail", "repository": repository})
        recorder = recorder_of(settings, "hospital", "association")
        recorder.start()
        note(recorder, 1, 3)
        assert [Told(receiver.recv(65536)).why for _ in range(3)] == ["1", "2", "3"]
        recorder.stop()


WRITER = """
import json, sys, time
from dimse_mesh.audit import AuditParticipant, AuditRecord
from dimse_mesh.audit.codes import AuditEvent
from dimse_mesh.runtime.auditing import recorder_of
from dimse_mesh.runtime.settings_audit import AuditSettings
recorder = recorder_of(AuditSettings.model_validate(json.loads(sys.argv[1])), "hospital", sys.argv[2])
recorder.start()
for number in range(200):
    recorder.note(AuditRecord(event=AuditEvent.QUERY, participants=(AuditParticipant(user_id="A", requestor=True),)))
print("noted", flush=True)
time.sleep(600)
"""


def test_another_process_goes_on_when_the_one_that_forwards_is_killed(site: Site, tmp_path: Path) -> None:
    site.rsyslog.start()
    settings = json.dumps(
        {"directory": str(tmp_path / "trail"), "repository": site.settings(settled_after=2.0)}
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, settings, name], stdout=subprocess.PIPE)
        for name in ("store", "scu")
    ]
    try:
        wait_until(lambda: len(sequences(site)) >= 100, "they arrive", timeout=60)
        writers[0].kill()
        writers[0].wait()
        recorder = recorder_to(site, tmp_path / "trail")
        for number in range(5):
            recorder.write_now(record(f"later {number}"))
        wait_until(
            lambda: len(sequences(site)) == len(messages_in(tmp_path / "trail")),
            "all that is on disk is at the repository",
            timeout=60,
        )
        writers[1].kill()
        writers[1].wait()
        recorder.start()
        wait_until(note(recorder, 1, 5), "on disk")
        wait_until(
            lambda: sequences(site) == set(range(1, len(messages_in(tmp_path / "trail")) + 1)),
            "the third one forwards",
            timeout=60,
        )
        recorder.stop()
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            if writer.stdout is not None:
                writer.stdout.close()


def test_an_address_where_nobody_listens_is_told_once(tmp_path: Path) -> None:
    repository = {"host": "127.0.0.1", "port": reserve_port(), "settled_after": 1.0}
    settings = AuditSettings.model_validate({"directory": tmp_path / "trail", "repository": repository})
    recorder = recorder_of(settings, "hospital", "association")
    recorder.start()
    wait_until(lambda: recorder.numbers().connected is False, "it was tried")
    recorder.stop()
