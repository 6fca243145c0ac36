"""The canary: patient data goes through every service, well-formed or not, and is seen nowhere but in the messages.

What a system calls itself (AE titles) is no patient data and may be seen; everything else that a peer sends may not.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fault.archive import CONTEXTS, FIND, GET_ROLES, STORE
from tests.interop.observability.observed import (
    ALL_CONTEXTS,
    ARCHIVE,
    MPPS,
    N_ACTION,
    N_CREATE,
    READ_ONLY,
    STORAGE_COMMITMENT,
    Observed,
    observed,
)
from tests.support.files import implicit_element
from tests.support.permitted import TEST_USER
from tests.support.process import wait_until
from tests.support.scripted import Client, ServerPeer
from tests.support.tap import Tap
from tests.support.wire import (
    CT_STORAGE,
    STUDY_ROOT_FIND,
    Command,
    Context,
    Message,
    Tag,
    associate_rq,
    command,
    fragments,
    item,
    pdu,
    pdv,
    request,
    response,
    store_rq,
)

CANARY = "ZXQVCANARY"
PATIENT = f"{CANARY}^JANE"
DATA = b"".join(
    implicit_element(tag, value)
    for tag, value in (
        (0x00080018, "1.2.3"),
        (0x00100010, PATIENT),
        (0x00100020, f"{CANARY}-4711"),
        (0x00104000, f"free text of {CANARY}"),
    )
)
LARGE = DATA + implicit_element(0x7FE00010, CANARY * 20_000)
FAILED = 0xA700
SILENCE = 1.0
"""Seconds that a client waits for an answer which may never come."""


def failing(peer: ServerPeer) -> None:
    """Fail what is asked, with the canary in every text and data set of the response; report it too."""
    asked = peer.accept_association(extra=GET_ROLES)
    if asked.calling.startswith(b"GARBAGE"):
        peer.receive()
        peer.send(pdu(4, b"\xff\xff\xff\xff" + PATIENT.encode()))
        return
    if asked.calling.startswith(b"BADCOMMAND"):
        peer.receive()
        peer.send(pdu(4, pdv(STORE, is_command=True, is_last=True, fragment=DATA)))
        return
    if asked.calling.startswith(b"VANISHES"):
        peer.receive()
        peer.reset()
        return
    peer.serve(fail)


def fail(asked: Message) -> Iterator[Message]:
    """Answer with everything that a response may say."""
    if asked.field & 0x8000 or Tag.MESSAGE_ID not in asked.elements:
        return
    more: dict[int, int | str | bytes] = {
        Tag.ERROR_COMMENT: PATIENT,
        0x0901: DATA[:4],
        Tag.AFFECTED_SOP_INSTANCE: PATIENT,
    }
    if asked.field == Command.C_FIND:
        for _ in range(3):
            yield response(asked, 0xFF00, data=DATA)
    yield response(asked, FAILED, more=more)
    if asked.field == Command.N_ACTION:
        elements: dict[int, int | str | bytes] = {Tag.AFFECTED_SOP_INSTANCE: PATIENT, Tag.EVENT_TYPE: 2}
        yield request(
            Command.N_EVENT_REPORT, 1, STORAGE_COMMITMENT, data=DATA, context_id=N_ACTION, more=elements
        )


def well_formed(where: Observed) -> None:
    """Ask for operations that fail, with the canary in their data sets."""
    for called in (ARCHIVE, READ_ONLY):
        with where.open("CLIENT", called=called) as client:
            for data in (DATA, LARGE):
                assert client.exchange(store_rq(1, PATIENT, data, context_id=STORE)).status != 0
            named = request(Command.C_STORE, 2, PATIENT, data=DATA, context_id=STORE, more={Tag.PRIORITY: 0})
            assert client.exchange(named).status != 0
            find = request(
                Command.C_FIND, 3, STUDY_ROOT_FIND, data=DATA, context_id=FIND, more={Tag.PRIORITY: 0}
            )
            client.send_message(find)
            while client.receive_message().status == 0xFF00:
                pass
            for kind, sop_class, context_id in (
                (Command.N_CREATE, MPPS, N_CREATE),
                (Command.N_SET, MPPS, N_CREATE),
                (Command.N_ACTION, STORAGE_COMMITMENT, N_ACTION),
            ):
                tag = Tag.AFFECTED_SOP_INSTANCE if kind == Command.N_CREATE else Tag.REQUESTED_SOP_INSTANCE
                message = request(kind, 4, sop_class, data=DATA, context_id=context_id, more={tag: PATIENT})
                assert client.exchange(message).status != 0
            if called == ARCHIVE:
                report = client.receive_message()
                assert report.field == Command.N_EVENT_REPORT
                client.send_message(response(report, FAILED, more={Tag.ERROR_COMMENT: PATIENT}))
            client.release()


def malformed_commands() -> Iterator[bytes]:
    """Yield P-DATA-TF PDUs whose commands aren't any."""
    fine = store_rq(1, PATIENT, DATA, context_id=STORE)
    broken = (
        DATA,
        fine.command[:-3],
        fine.command + implicit_element(0x00100010, PATIENT),
        fine.command + fine.command,
        PATIENT.encode(),
        command(
            {Tag.AFFECTED_SOP_CLASS: PATIENT.encode() + b"\xe9", Tag.COMMAND_FIELD: 1, Tag.DATA_SET_TYPE: 1}
        ),
        command({Tag.COMMAND_FIELD: PATIENT.encode(), Tag.DATA_SET_TYPE: 1}),
        command({Tag.MOVE_DESTINATION: PATIENT, Tag.DATA_SET_TYPE: 1}),
    )
    for one in broken:
        yield pdu(4, pdv(STORE, is_command=True, is_last=True, fragment=one))
    yield pdu(4, pdv(STORE, is_command=False, is_last=True, fragment=DATA))
    yield pdu(4, pdv(99, is_command=True, is_last=True, fragment=fine.command))
    yield pdu(4, b"\x00\x00\xff\xff" + DATA)
    yield pdu(0x4A, DATA)
    yield b"\x04\x00\xff\xff\xff\xff" + DATA
    yield pdu(5, PATIENT.encode())
    # An operation that PS3.7 doesn't know, and one without a message id.
    unknown: dict[int, int | str | bytes] = {Tag.COMMAND_FIELD: 0x0777, Tag.AFFECTED_SOP_CLASS: PATIENT}
    yield b"".join(
        pdu(4, value)
        for value in fragments(Message(STORE, command({**unknown, Tag.DATA_SET_TYPE: 1}), DATA), [500])
    )
    nameless: dict[int, int | str | bytes] = {Tag.COMMAND_FIELD: 1, Tag.AFFECTED_SOP_CLASS: PATIENT}
    yield b"".join(
        pdu(4, value)
        for value in fragments(Message(STORE, command({**nameless, Tag.DATA_SET_TYPE: 1}), DATA), [500])
    )


def malformed(where: Observed) -> None:
    """Send what no peer should send, and drop connections in the middle."""
    for data in malformed_commands():
        with where.open("MALFORMED") as client:
            client.sock.settimeout(SILENCE)
            client.send(data)
            with contextlib.suppress(AssertionError, OSError, TimeoutError):
                client.receive()
    with where.open("RESETS") as client:
        client.send(pdu(4, next(fragments(store_rq(1, PATIENT, LARGE, context_id=STORE), [16000]))))
        client.reset()
    for calling in ("GARBAGE", "BADCOMMAND", "VANISHES"):
        with where.open(calling) as client, contextlib.suppress(AssertionError, OSError):
            client.exchange(store_rq(1, PATIENT, DATA, context_id=STORE))


def malformed_associations() -> Iterator[bytes]:
    """Yield A-ASSOCIATE-RQ PDUs, and worse."""
    identity = b"\x02\x01" + len(PATIENT).to_bytes(2) + PATIENT.encode() + b"\x00\x04pass"
    fine = associate_rq(
        called=ARCHIVE,
        calling="ODD",
        contexts=[*ALL_CONTEXTS, Context(21, PATIENT, (PATIENT,))],
        extra=item(0x58, identity) + item(0x56, PATIENT.encode()) + item(0xE0, PATIENT.encode()),
        version=CANARY,
    )
    yield fine
    yield fine[:-7]
    yield fine[:6] + b"\x00\x00" + fine[8:]
    yield pdu(1, fine[6:] + PATIENT.encode())
    yield pdu(1, PATIENT.encode() * 10)
    yield pdu(2, fine[6:])
    yield pdu(4, DATA)
    yield f"GET /{PATIENT} HTTP/1.1\r\n\r\n".encode()


def odd_associations(where: Observed) -> None:
    """Ask for associations as nobody should."""
    for data in malformed_associations():
        with Client.connect(where.entry, timeout=SILENCE) as client:
            client.send(data)
            with contextlib.suppress(AssertionError, OSError, TimeoutError):
                client.read_pdu()


def foreign_messages(where: Observed, tap: Tap) -> None:
    """Publish what is no message of the mesh on every subject that has been seen."""
    subjects = {message.subject for message in tap.messages if not message.subject.startswith("$")}
    with socket.create_connection(("127.0.0.1", where.mesh.nats_port), 10) as nats:
        user = f'"user":"{TEST_USER}","pass":"{TEST_USER}"'
        options = f'{{"verbose":false,"pedantic":false,"headers":true,"lang":"python",{user}}}'
        nats.sendall(f"CONNECT {options}\r\n".encode())
        for subject in subjects:
            for body in (DATA, b'{"association":"' + PATIENT.encode() + b'"}', PATIENT.encode()):
                nats.sendall(f"PUB {subject} nowhere {len(body)}\r\n".encode() + body + b"\r\n")
        nats.sendall(b"PING\r\n")
        stream = nats.makefile("rb")
        while stream.readline() != b"PONG\r\n":
            pass


def holds_canary(data: bytes) -> bool:
    """Tell whether the canary is in some bytes, plain, or as text shows UTF-16 or hexadecimal."""
    lower = data.lower()
    word = CANARY.lower().encode()
    return any(form in lower for form in (word, word.hex().encode(), CANARY.encode().hex().encode()))


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_patient_data_is_seen_nowhere(tmp_path: Path, log_format: str) -> None:
    scenes: list[Callable[[Observed], None]] = [well_formed, malformed, odd_associations]
    with observed(
        tmp_path, env={"DIMSE_MESH_OBSERVABILITY__LOG_FORMAT": log_format}, script=failing
    ) as where:
        with Tap(where.mesh.nats_port) as tap:
            for scene in scenes:
                scene(where)
            foreign_messages(where, tap)
            with where.open("AFTERWARDS", called=ARCHIVE) as client:
                assert client.exchange(store_rq(1, PATIENT, DATA, context_id=STORE)).status == FAILED
                client.release()
            wait_until(
                lambda: where.value("hospital/association", "dimse_mesh_associations_open") == 0, "the end"
            )
            for port in where.ports:
                assert not holds_canary(where.exposition(port).encode()), port
        assert where.mesh.stop() == 0
        spans = where.collector
    assert any(CANARY.encode() in message.payload for message in tap.messages), "nothing was sent"
    for message in tap.messages:
        for part in (message.subject.encode(), message.reply.encode(), message.headers):
            assert not holds_canary(part), message.subject
    assert len(spans.spans) > 50
    for body in spans.raw:
        assert not holds_canary(body)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert where.mesh.log in written
    for path in written:
        for line in path.read_bytes().splitlines():
            assert not holds_canary(line), f"{path.name}: {line.decode(errors='replace')}"
    log = where.mesh.log.read_text()
    for said in (
        "refused C-STORE",
        "ended before an association",
        "dropped a malformed",
        "missing_command_field",
    ):
        assert said in log
    assert "Traceback" not in log


def test_canary_would_be_found() -> None:
    assert holds_canary(f"x {PATIENT}".encode())
    assert holds_canary(PATIENT.encode().hex().encode())
    assert not holds_canary(CT_STORAGE.encode() + bytes(CONTEXTS[0].id))
