"""What JetStream answers: one reply, a batch of messages, or an error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dimse_mesh.mesh.errors import JetStreamRefusal, NotPermitted
from dimse_mesh.mesh.wire import Message

MESSAGE_NOT_FOUND = 404
_END_OF_BATCH = 204
_BEFORE = "Nats-Last-Sequence"
"""Header with the sequence number of the message before, in a batch; 0: it is the first (ADR-31)."""
_FULL = frozenset((10047, 10077, 10122, 10167, 10110, 10028, 10118))
"""Numbers of nats-server's errors for: insufficient storage, maximum bytes or messages exceeded, ..."""


_WRONG_LAST_SEQUENCE = frozenset((10071, 10164))
"""Numbers of its errors for: wrong last sequence, with and without the number that it has."""


class StreamFull(JetStreamRefusal):
    """There is no room: the stream's limit, the account's, or the disk's."""

    code = "stream-full"


class WrongLastSequence(JetStreamRefusal):
    """The newest message of the subject is another one than the publisher takes it for."""

    code = "wrong-last-sequence"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of a stream."""

    sequence: int
    subject: str
    payload: bytes
    message_id: str = ""
    """The id that its publisher gave it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that one request has brought, in order, and how many of the subject stand behind them."""

    messages: tuple[StoredMessage, ...]
    pending: int


class ReplyReceiver(Protocol):
    """Waits for what comes on a reply subject; `asked` is the subject of the request, or the verb of the API."""

    asked: str

    def receive(self, message: Message) -> None:
        """Take what has come."""

    def lost(self) -> None:
        """Note that the connection was lost: nothing more comes."""

    def refused(self, why: NotPermitted) -> None:
        """Note that nats-server did not let the request through."""


@dataclass(slots=True)
class OneReply:
    """Waits for one reply. Its result is None when the connection was lost meanwhile."""

    asked: str
    future: asyncio.Future[Message | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def receive(self, message: Message) -> None:
        """Take the reply."""
        if not self.future.done():
            self.future.set_result(message)

    def lost(self) -> None:
        """Give up: the connection was lost."""
        if not self.future.done():
            self.future.set_result(None)

    def refused(self, why: NotPermitted) -> None:
        """Give up: our user may not ask."""
        if not self.future.done():
            self.future.set_exception(why)


class Gathering:
    """Gathers the messages of a batch until the server says that there are no more, or one is missing.

    Between us and the stream there may be other nats-servers. When one loses its line to the next for a moment,
    messages in the middle of a batch don't arrive, and the later ones do. Each message names the one before it.
    """

    def __init__(self, asked: str) -> None:
        self.asked = asked
        self.messages: list[StoredMessage] = []
        self.pending = 0
        self.ended = False
        self.cut = False
        self.failure: JetStreamRefusal | NotPermitted | None = None
        self.event = asyncio.Event()

    def receive(self, message: Message) -> None:
        """Take a message of the batch, or the status that ends it."""
        headers = message.headers or {}
        if self.ended:
            return
        if message.status in {0, _END_OF_BATCH} and not self._follows(headers):
            self.cut = self.ended = True
        elif message.status == _END_OF_BATCH:
            self.pending = number_in(headers, "Nats-Num-Pending")
            self.ended = True
        elif message.status == MESSAGE_NOT_FOUND:
            self.ended = True
        elif message.status:
            self.cut = message.no_responders
            if not self.cut:
                self.failure = JetStreamRefusal(f"JetStream refuses a batch: status {message.status}")
            self.ended = True
        else:
            self.messages.append(
                StoredMessage(
                    number_in(headers, "Nats-Sequence"),
                    headers.get("Nats-Subject", ""),
                    message.payload,
                    headers.get("Nats-Msg-Id", ""),
                )
            )
            self.pending = number_in(headers, "Nats-Num-Pending")
        self.event.set()

    def _follows(self, headers: Mapping[str, str]) -> bool:
        """Tell whether nothing is missing between what has come last and a message with these headers."""
        former = self.messages[-1].sequence if self.messages else 0
        return number_in(headers, _BEFORE) == former if _BEFORE in headers else True

    def lost(self) -> None:
        """Give up: the connection was lost."""
        self.cut = self.ended = True
        self.event.set()

    def refused(self, why: NotPermitted) -> None:
        """Give up: our user may not ask."""
        self.failure = why
        self.ended = True
        self.event.set()


def read_reply(payload: bytes) -> dict[str, Any]:
    """Return a reply of JetStream's API.

    Raises:
        JetStreamRefusal: it is an error (`StreamFull` and `WrongLastSequence` are two kinds), or nothing that can be
            read.
    """
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise JetStreamRefusal("JetStream's reply can't be read")
    error = answer.get("error")
    if error is None:
        return answer
    if not isinstance(error, dict):
        raise JetStreamRefusal("JetStream refuses: no reason given")
    number, text = error.get("err_code"), str(error.get("description", "no reason given"))
    number = number if isinstance(number, int) else 0
    if number in _FULL:
        raise StreamFull(f"JetStream is full: {text}", number=number)
    if number in _WRONG_LAST_SEQUENCE:
        raise WrongLastSequence(f"JetStream refuses: {text}", number=number)
    raise JetStreamRefusal(f"JetStream refuses: {text}", number=number)


def number_in(headers: Mapping[str, str], name: str) -> int:
    """Return a number of a header; 0: there is none."""
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
