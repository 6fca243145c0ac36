"""The raw target of the bench: what it answers, as the socket takes it."""

from __future__ import annotations

import asyncio

from tests.bench.raw_peer import GET, GET_CONTEXTS, GET_ROLE, STORE, RawTarget, get_request
from tests.support.wire import (
    CT_STORAGE,
    Command,
    Message,
    Pdu,
    PduType,
    Tag,
    associate_rq,
    p_data,
    parse_associate,
    parse_command,
    request,
    response,
    role_selection,
)

LARGEST = 100
"""Length of a PDU that the client takes: enough for a command set's piece, little of an object."""


class Socket(asyncio.Transport):
    """Takes what is written, and can be full."""

    def __init__(self, target: RawTarget) -> None:
        super().__init__()
        self.target = target
        self.written: list[bytes] = []
        self.full = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))
        if self.full:
            self.target.pause_writing()

    def taken(self) -> list[bytes]:
        """Return what was written since the last time."""
        written, self.written = self.written, []
        return written


def commands(pdus: list[bytes]) -> list[dict[int, bytes]]:
    """Return the command sets in PDUs of one fragment each."""
    return [parse_command(pdu[12:]) for pdu in pdus if pdu[11] & 1]


def associated() -> tuple[RawTarget, Socket]:
    target = RawTarget()
    socket = Socket(target)
    target.connection_made(socket)
    asked = associate_rq(called="RAW", contexts=GET_CONTEXTS, max_length=LARGEST, extra=GET_ROLE)
    target.data_received(asked)
    return target, socket


def test_the_role_that_a_client_proposes_is_accepted() -> None:
    _, socket = associated()
    (answer,) = socket.taken()
    accepted = parse_associate(Pdu(answer[0], answer[6:]))
    assert (0x54, role_selection(CT_STORAGE, scu=0, scp=1)[4:]) in accepted.user_items
    assert [result.result for result in accepted.results] == [0] * len(GET_CONTEXTS)


def test_c_get_brings_one_object_after_the_other_and_then_its_response() -> None:
    target, socket = associated()
    socket.taken()
    target.data_received(get_request(7, objects=2, size=1000))
    for number in (1, 2):
        pdus = socket.taken()
        (stored,) = commands(pdus)
        assert int.from_bytes(stored[Tag.COMMAND_FIELD], "little") == Command.C_STORE
        assert int.from_bytes(stored[Tag.MESSAGE_ID], "little") == number
        assert sum(len(pdu) - 12 for pdu in pdus if not pdu[11] & 1) == 1000
        assert max(len(pdu) for pdu in pdus[1:]) == 6 + LARGEST
        asked = request(Command.C_STORE, number, CT_STORAGE, context_id=STORE)
        target.data_received(p_data(response(asked)))
    (final,) = socket.taken()
    assert (final[0], final[10]) == (PduType.P_DATA_TF, GET)
    message = Message(GET, final[12:])
    assert (message.status, message.number(Tag.COMPLETED)) == (0, 2)
    assert message.number(Tag.RESPONDED_MESSAGE_ID) == 7


def test_an_object_leaves_as_the_socket_takes_it() -> None:
    target, socket = associated()
    socket.taken()
    socket.full = True
    target.data_received(get_request(7, objects=1, size=1000))
    assert len(socket.taken()) == 1
    target.resume_writing()
    assert len(socket.taken()) == 1
    socket.full = False
    target.resume_writing()
    assert len(socket.taken()) > 5
