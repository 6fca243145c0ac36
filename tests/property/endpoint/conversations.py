"""Whole DIMSE conversations as data: what a client asks, and a target that answers all of it by rote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from hypothesis import strategies as st

from tests.support.wire import (
    CT_STORAGE,
    RESPONSE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    VERIFICATION,
    Command,
    Message,
    Tag,
    cancel_rq,
    request,
    response,
    store_rq,
)
from tests.unit.endpoint.peers import MemoryPeer

SIZES = st.sampled_from([0, 1, 2, 299, 300, 301, 999, 1000, 1001, 2000, 5000]) | st.integers(0, 40_000)


@dataclass(frozen=True)
class Ask:
    """One operation: which, with how much data, and answered by how many responses or sub-operations."""

    kind: int
    size: int
    answers: tuple[int, ...] = ()
    """Sizes of the data sets of pending responses or of sub-operations."""
    cancelled: bool = False


asks = st.one_of(
    st.builds(Ask, st.just(Command.C_ECHO), st.just(0)),
    st.builds(Ask, st.just(Command.C_STORE), SIZES),
    st.builds(
        Ask,
        st.just(Command.C_FIND),
        st.integers(0, 400),
        st.lists(st.integers(0, 400), max_size=40).map(tuple),
        st.booleans(),
    ),
    st.builds(
        Ask,
        st.just(Command.C_GET),
        st.integers(0, 400),
        st.lists(SIZES, max_size=4).map(tuple),
        st.booleans(),
    ),
    st.builds(Ask, st.just(Command.N_CREATE), st.integers(0, 1500)),
)


def data_set(seed: int, size: int) -> bytes:
    """Return `size` bytes that no other seed has."""
    return Random(seed).randbytes(size)


def message_of(ask: Ask, message_id: int) -> Message:
    """Return the request."""
    data = data_set(message_id, ask.size)
    if ask.kind == Command.C_ECHO:
        return request(Command.C_ECHO, message_id, VERIFICATION)
    if ask.kind == Command.C_STORE:
        return store_rq(message_id, f"1.2.{message_id}", data, context_id=3)
    sop_class = {Command.C_FIND: STUDY_ROOT_FIND, Command.C_GET: STUDY_ROOT_GET}.get(
        Command(ask.kind), "1.2.3"
    )
    return request(ask.kind, message_id, sop_class, data=data, context_id=5)


@dataclass
class Client:
    """Asks one operation after the other, or all at once, and then releases."""

    peer: MemoryPeer
    asks: list[Ask]
    at_once: bool = False
    release: bool = True
    _next: int = 0
    _open: int = 0
    on_done: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Ask."""
        self.peer.on_message = self._received
        self._go_on()

    def _go_on(self) -> None:
        while self._next < len(self.asks) and (self.at_once or not self._open):
            ask, self._next = self.asks[self._next], self._next + 1
            self._open += 1
            self.peer.send(message_of(ask, self._next))
            if ask.cancelled:
                self.peer.send(cancel_rq(self._next, context_id=5))
        if not self._open:
            self.on_done()
            if self.release:
                self.peer.release()

    def _received(self, message: Message) -> None:
        if message.field == Command.C_STORE:
            self.peer.send(response(message))
        elif message.status not in (0xFF00, 0xFF01):
            self._open -= 1
            self._go_on()


@dataclass
class Target:
    """Answers every request; sub-operations of C-GET one after the other."""

    peer: MemoryPeer
    asks: list[Ask]
    _sub_operations: list[Message] = field(default_factory=list)
    _getting: list[Message] = field(default_factory=list)
    _number: int = 1000

    def start(self) -> None:
        """Wait for requests."""
        self.peer.on_message = self._received

    def _received(self, message: Message) -> None:
        kind = message.field
        if kind == Command.C_CANCEL:
            return
        if kind & RESPONSE:
            self._next_sub_operation()
            return
        answers = self.asks[message.number(Tag.MESSAGE_ID) - 1].answers
        if kind == Command.C_FIND:
            for index, size in enumerate(answers):
                self.peer.send(response(message, 0xFF00, data=data_set(index, size)))
            self.peer.send(response(message))
        elif kind == Command.C_GET:
            for size in answers:
                self._number += 1
                self._sub_operations.append(
                    store_rq(self._number, f"1.3.{self._number}", data_set(self._number, size), context_id=3)
                )
            self._sub_operations.append(response(message))
            if len(self._getting) == 0:
                self._getting.append(message)
                self._next_sub_operation()
        else:
            self.peer.send(response(message, data=b"x" * 5 if kind == Command.N_CREATE else None))

    def _next_sub_operation(self) -> None:
        while self._sub_operations:
            message = self._sub_operations.pop(0)
            self.peer.send(message)
            if message.field == Command.C_STORE:
                return
        self._getting.clear()


__all__ = ["CT_STORAGE", "Ask", "Client", "Target", "asks", "data_set", "message_of"]
