"""Answers the requests of one subject, each in its own task, a bounded number at once."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

import anyio
from anyio.abc import TaskGroup
from pydantic import BaseModel

from dimse_mesh.mesh.envelope import pack, unpack
from dimse_mesh.mesh.errors import EnvelopeError, MeshError, report
from dimse_mesh.mesh.requests import ERROR_HEADER
from dimse_mesh.mesh.wire import Message
from dimse_mesh.schemas.addresses import InstanceAddress
from dimse_mesh.schemas.subjects import Subject

log = logging.getLogger(__name__)

RequestT = TypeVar("RequestT", bound=BaseModel)
ReplyT = TypeVar("ReplyT", bound=BaseModel)

Handler = Callable[[RequestT, memoryview, Message], Awaitable[tuple[ReplyT, bytes]]]


class Publish(Protocol):
    """`Mesh.publish`."""

    def __call__(
        self, subject: str, payload: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> bool: ...


class Responder(Generic[RequestT, ReplyT]):
    """Turns messages into calls of a handler, and what it returns into replies."""

    def __init__(
        self,
        subject: Subject[RequestT, ReplyT],
        handler: Handler[RequestT, ReplyT],
        *,
        busy: Callable[[RequestT, memoryview, Message], tuple[ReplyT, bytes]] | None,
        tasks: TaskGroup,
        publish: Publish,
        reply_to: Callable[[InstanceAddress, str], str | None],
        max_concurrent: int,
    ) -> None:
        self._subject = subject
        self._handler = handler
        self._busy = busy
        self._tasks = tasks
        self._publish = publish
        self._reply_to = reply_to
        self._max_concurrent = max_concurrent
        self._running = 0
        self._idle = anyio.Event()
        self._idle.set()

    def receive(self, message: Message) -> None:
        """Start a task for a request, or refuse it; drop a request whose subject names no sender."""
        if message.sender is None:
            return
        try:
            request, tail = unpack(self._subject.request, message.payload)
        except EnvelopeError as exc:
            self._refuse(message, exc.code)
            return
        if self._running >= self._max_concurrent:
            if self._busy is None:
                self._refuse(message, "busy")
            else:
                self._answer(message, *self._busy(request, tail, message))
            return
        if self._running == 0:
            self._idle = anyio.Event()
        self._running += 1
        self._tasks.start_soon(self._serve, request, tail, message)

    async def idle(self) -> None:
        """Wait until no request is being served."""
        await self._idle.wait()

    async def _serve(self, request: RequestT, tail: memoryview, message: Message) -> None:
        try:
            self._answer(message, *await self._handler(request, tail, message))
        except MeshError as exc:
            self._refuse(message, exc.code)
        except Exception as exc:  # noqa: BLE001 - one bad request must not end the service
            report(f"the handler of {self._subject.name}", exc)
            self._refuse(message, "internal")
        finally:
            self._running -= 1
            if self._running == 0:
                self._idle.set()

    def _answer(self, message: Message, head: ReplyT, tail: bytes) -> None:
        reply = self._reply_subject(message)
        if reply is not None and not self._publish(reply, pack(head, tail)):
            log.warning("a reply on %s was lost: not connected", self._subject.name)

    def _refuse(self, message: Message, code: str) -> None:
        reply = self._reply_subject(message)
        if reply is not None:
            self._publish(reply, b"", headers={ERROR_HEADER: code})

    def _reply_subject(self, message: Message) -> str | None:
        """Return where the reply goes: an inbox of the sender's own, and our own name behind it."""
        sender = message.sender
        return None if sender is None else self._reply_to(sender, message.reply)
