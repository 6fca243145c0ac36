"""Requests that wait for their reply: one inbox subscription, one future each."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from dimse_mesh.mesh.envelope import pack, unpack
from dimse_mesh.mesh.errors import MeshError, MeshTimeout, MeshUnavailable, NoResponders, RemoteError
from dimse_mesh.mesh.nats_connection import NatsConnection
from dimse_mesh.mesh.wire import Message
from dimse_mesh.schemas.addresses import InstanceAddress
from dimse_mesh.schemas.subjects import Subject, Subjects

RequestT = TypeVar("RequestT", bound=BaseModel)
ReplyT = TypeVar("ReplyT", bound=BaseModel)

ERROR_HEADER = "Mesh-Error"
"""Header of a reply that is an error code and nothing else."""
_TRY_ANOTHER = frozenset(("busy", "version"))
"""Codes with which another one of the queue group may do better."""


@dataclass(frozen=True, slots=True)
class Reply(Generic[ReplyT]):
    """What was replied, and by whom."""

    head: ReplyT
    tail: memoryview
    sender: InstanceAddress


class Requests:
    """The requests of one instance that are waiting.

    Each has a reply subject that can't be guessed, so that only those who got the request can answer it.
    """

    def __init__(self, connection: NatsConnection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects
        self._inbox = subjects.inbox
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._asked: dict[str, str] = {}
        """Where each of them was sent to."""

    async def start(self) -> None:
        """Subscribe to the inbox."""
        await self._connection.subscribe(f"{self._inbox}.>", "", self._receive)

    async def ask(
        self,
        subject: Subject[RequestT, ReplyT],
        head: RequestT,
        tail: bytes,
        *,
        timeout: float,
        header: bytes,
    ) -> Reply[ReplyT]:
        """Send and wait; see `Mesh.request`."""
        payload = pack(head, tail)
        reply = f"{self._inbox}.{secrets.token_hex(12)}"
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[reply] = future
        try:
            destination = self._asked[reply] = subject.sent_by(self._subjects.own)
            if not self._connection.send(destination, reply, header, (payload,), len(payload)):
                raise MeshUnavailable(
                    "not connected to NATS", code=self._connection.last_error or "unavailable"
                )
            async with asyncio.timeout(timeout):
                message = await future
        except TimeoutError:
            raise MeshTimeout(f"no reply on {subject.name} within {timeout:g} s") from None
        finally:
            del self._waiting[reply]
            self._asked.pop(reply, None)
        if message.no_responders:
            raise NoResponders(f"nobody serves {subject.name}")
        if message.headers and (code := message.headers.get(ERROR_HEADER)):
            raise RemoteError(
                f"{subject.name} answered with an error", code=code, retryable=code in _TRY_ANOTHER
            )
        sender = message.sender
        assert sender is not None  # `_receive` has seen to it
        return Reply(*unpack(subject.reply, message.payload), sender)

    def fail(self, error: MeshError) -> None:
        """End every waiting request with `error`."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)

    def refused(self, destination: str, error: MeshError) -> None:
        """End the requests that were sent to a subject: the server didn't let them through."""
        for reply, asked in self._asked.items():
            future = self._waiting[reply]
            if asked == destination and not future.done():
                future.set_exception(error)

    def _receive(self, message: Message) -> None:
        """Take a reply, which names its sender behind the request's own subject, or the server's status instead."""
        if message.no_responders:
            asked = message.subject
        elif message.sender is not None:
            asked = message.subject.rsplit(".", 3)[0]
        else:
            return
        future = self._waiting.get(asked)
        if future is not None and not future.done():
            future.set_result(message)
