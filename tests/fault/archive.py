"""A scripted target that keeps books: C-ECHO, C-STORE, C-FIND of any length, C-GET of any number, and more if asked."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping

from tests.fault.content import Arrival, content, instance_uid, size_of
from tests.fault.ledger import Ledger
from tests.support.scripted import Aborted, Closed, Server, ServerPeer, Sink
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
    Status,
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
GET_ROLES = role_selection(CT_STORAGE, scu=1, scp=1)


def match_identifier(number: int) -> bytes:
    """Return the identifier of the C-FIND response of that number."""
    raw = f"1.2.826.0.1.{number}".encode()
    raw += b"\0" * (len(raw) % 2)
    return struct.pack("<HH2sH", 0x0020, 0x000D, b"UI", len(raw)) + raw


def question(count: int, size: int = 0, uid: str = "") -> bytes:
    """Return the identifier of a query for `count` answers (of `size` bytes); `uid` is for the books."""
    asked = struct.pack("<II", count, size) + uid.encode()
    asked += b"\0" * (len(asked) % 2)
    return struct.pack("<HH2sHI", 0x0020, 0x1208, b"OB", 0, len(asked)) + asked


def asked_in(identifier: bytes | None) -> tuple[int, int, str]:
    """Return count, size and UID that `question` put into an identifier."""
    assert identifier is not None
    count, size = struct.unpack_from("<II", identifier, 12)
    return count, size, identifier[20:].rstrip(b"\0").decode()


Answer = Callable[[ServerPeer, Message], None]
"""Performs one operation."""


class Archive:
    """The answers, and the books. `more` are the answers to other commands, `stores` what its C-STOREs are called."""

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        more: Mapping[int, Answer] | None = None,
        stores: str = "C-STORE",
    ) -> None:
        self.ledger = ledger or Ledger()
        self._more = more or {}
        self._stores = stores
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
        except Aborted:
            self.aborted += 1
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
                uid, whole = asked.text(Tag.AFFECTED_SOP_INSTANCE), self._arrivals.pop(peer).whole
                self.ledger.received(self._stores, uid, whole=whole)
                peer.send_message(response(asked))
            case Command.C_ECHO:
                peer.send_message(response(asked))
            case Command.C_FIND:
                count, _, uid = asked_in(asked.data)
                self._performed("C-FIND", uid)
                for message in self._matches(asked, count):
                    peer.send_message(message)
            case Command.C_GET:
                self._get(peer, asked)
            case field if field in self._more:
                self._more[field](peer, asked)
            case _:
                pass

    def _performed(self, service: str, uid: str) -> None:
        if uid:
            self.ledger.received(service, uid)

    @staticmethod
    def _matches(asked: Message, count: int) -> Iterator[Message]:
        for number in range(count):
            yield response(asked, Status.PENDING, data=match_identifier(number))
        yield response(asked)

    def _get(self, peer: ServerPeer, asked: Message) -> None:
        count, size, operation = asked_in(asked.data)
        self._performed("C-GET", operation)
        completed = 0
        for number in range(1, count + 1):
            uid = instance_uid(0, next(self._numbers), number, size)
            peer.send_message(store_rq(number, uid, content(uid, size), context_id=STORE))
            answer = peer.receive_message()
            completed += answer.status == 0
        peer.send_message(
            response(asked, 0 if completed == count else 0xB000, more={Tag.COMPLETED: completed})
        )


def archive(
    port: int,
    ledger: Ledger | None = None,
    *,
    timeout: float = 120.0,
    more: Mapping[int, Answer] | None = None,
    stores: str = "C-STORE",
) -> tuple[Archive, Server]:
    """Start an archive on `port`; `more` and `stores` as `Archive` has them."""
    made = Archive(ledger, more=more, stores=stores)
    return made, Server(made, port=port, timeout=timeout, backlog=1024)


def find_rq(message_id: int, count: int, uid: str = "") -> Message:
    """Return a C-FIND-RQ for `count` answers."""
    return request(
        Command.C_FIND,
        message_id,
        STUDY_ROOT_FIND,
        data=question(count, uid=uid),
        context_id=FIND,
        more={Tag.PRIORITY: 0},
    )


def get_rq(message_id: int, count: int, size: int, uid: str = "") -> Message:
    """Return a C-GET-RQ for `count` instances of `size` bytes."""
    return request(
        Command.C_GET,
        message_id,
        STUDY_ROOT_GET,
        data=question(count, size, uid),
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
