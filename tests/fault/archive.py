"""A scripted target that keeps books: C-ECHO, C-STORE, C-FIND of any length, C-GET of any number."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator

from tests.fault.content import Arrival, content, instance_uid, size_of
from tests.fault.ledger import Ledger
from tests.support.scripted import Closed, Server, ServerPeer, Sink
from tests.support.wire import (
    CT_STORAGE,
    RELEASE_RP_PDU,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    VERIFICATION,
    Command,
    Context,
    Message,
    Pdu,
    PduType,
    Tag,
    associate_ac,
    parse_associate,
    request,
    response,
    role_selection,
    store_rq,
)

CONTEXTS = (
    Context(1, VERIFICATION),
    Context(3, CT_STORAGE),
    Context(5, STUDY_ROOT_FIND),
    Context(7, STUDY_ROOT_GET),
)
STORE, FIND, GET = 3, 5, 7
"""Ids of the presentation contexts that `CONTEXTS` proposes."""
PENDING = 0xFF00
GET_ROLES = role_selection(CT_STORAGE, scu=1, scp=1)


def match_identifier(number: int) -> bytes:
    """Return the identifier of the C-FIND response of that number."""
    raw = f"1.2.826.0.1.{number}".encode()
    raw += b"\0" * (len(raw) % 2)
    return struct.pack("<HH2sH", 0x0020, 0x000D, b"UI", len(raw)) + raw


def question(count: int, size: int = 0) -> bytes:
    """Return the identifier of a C-FIND or C-GET that asks for `count` answers (of `size` bytes)."""
    return struct.pack("<HH2sHII", 0x0020, 0x1208, b"OB", 8, count, size)


class Archive:
    """The answers, and the books."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.ledger = ledger or Ledger()
        self.associations = itertools.count(1)
        self.aborted = 0
        """Associations that ended by A-ABORT."""
        self.lost = 0
        """Associations that ended without release or abort."""
        self.released = 0
        self._numbers = itertools.count(1)
        self._arrivals: dict[ServerPeer, Arrival] = {}
        """What each is in the middle of storing."""

    def __call__(self, peer: ServerPeer) -> None:
        """Serve one association."""
        next(self.associations)
        peer.sink_for = lambda asked: self._sink(peer, asked)
        try:
            asked = peer.read_request()
            roles = GET_ROLES if any(kind == 0x54 for kind, _ in asked.user_items) else b""
            self._accept(peer, roles)
            while True:
                received = peer.receive()
                if isinstance(received, Message):
                    self._answer(peer, received)
                    peer.received.clear()
                elif received.kind == PduType.RELEASE_RQ:
                    peer.send(RELEASE_RP_PDU)
                    self.released += 1
                    return
                else:
                    self.aborted += received.kind == PduType.ABORT
                    return
        except (Closed, TimeoutError):
            self.lost += 1
        finally:
            self._arrivals.pop(peer, None)

    @staticmethod
    def _accept(peer: ServerPeer, extra: bytes) -> None:
        assert peer.request is not None
        answer = associate_ac(peer.request, extra=extra, max_length=131072)
        peer.accept = parse_associate(Pdu(answer[0], answer[6:]))
        peer.send(answer)

    def _sink(self, peer: ServerPeer, asked: Message) -> Sink | None:
        if asked.field != Command.C_STORE:
            return None
        self._arrivals[peer] = arrival = Arrival(asked.text(Tag.AFFECTED_SOP_INSTANCE))
        return arrival.add

    def _answer(self, peer: ServerPeer, asked: Message) -> None:
        match asked.field:
            case Command.C_STORE:
                self.ledger.received(
                    asked.text(Tag.AFFECTED_SOP_INSTANCE), whole=self._arrivals.pop(peer).whole
                )
                peer.send_message(response(asked))
            case Command.C_ECHO:
                peer.send_message(response(asked))
            case Command.C_FIND:
                for message in self._matches(asked):
                    peer.send_message(message)
            case Command.C_GET:
                self._get(peer, asked)
            case _:
                pass

    @staticmethod
    def _matches(asked: Message) -> Iterator[Message]:
        assert asked.data is not None
        (count,) = struct.unpack_from("<I", asked.data, 8)
        for number in range(count):
            yield response(asked, PENDING, data=match_identifier(number))
        yield response(asked)

    def _get(self, peer: ServerPeer, asked: Message) -> None:
        assert asked.data is not None
        count, size = struct.unpack_from("<II", asked.data, 8)
        completed = 0
        for number in range(1, count + 1):
            uid = instance_uid(0, next(self._numbers), number, size)
            peer.send_message(store_rq(number, uid, content(uid, size), context_id=STORE))
            answer = peer.receive_message()
            completed += answer.status == 0
        peer.send_message(
            response(asked, 0 if completed == count else 0xB000, more={Tag.COMPLETED: completed})
        )


def archive(port: int, ledger: Ledger | None = None, *, timeout: float = 120.0) -> tuple[Archive, Server]:
    """Start an archive on `port`."""
    made = Archive(ledger)
    return made, Server(made, port=port, timeout=timeout, backlog=1024)


def find_rq(message_id: int, count: int) -> Message:
    """Return a C-FIND-RQ for `count` answers."""
    return request(
        Command.C_FIND,
        message_id,
        STUDY_ROOT_FIND,
        data=question(count),
        context_id=FIND,
        more={Tag.PRIORITY: 0},
    )


def get_rq(message_id: int, count: int, size: int) -> Message:
    """Return a C-GET-RQ for `count` instances of `size` bytes."""
    return request(
        Command.C_GET,
        message_id,
        STUDY_ROOT_GET,
        data=question(count, size),
        context_id=GET,
        more={Tag.PRIORITY: 0},
    )


def whole_instances(messages: Iterable[Message]) -> list[str]:
    """Return the UIDs of the C-STORE requests among `messages`, each checked to the byte."""
    found = []
    for message in messages:
        if message.field == Command.C_STORE:
            uid = message.text(Tag.AFFECTED_SOP_INSTANCE)
            assert message.data == content(uid, size_of(uid)), f"{uid} arrived damaged"
            found.append(uid)
    return found
