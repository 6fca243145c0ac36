"""Requests that wait for their reply: one inbox subscription, one future each."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TypeVar

from pydantic import BaseModel

from dimse_mesh.mesh.envelope import pack, unpack
from dimse_mesh.mesh.errors import MeshError, MeshTimeout, MeshUnavailable, NoResponders, RemoteError
from dimse_mesh.mesh.link import Link
from dimse_mesh.mesh.wire import Delivery
from dimse_mesh.schemas.subjects import Subject

RequestT = TypeVar("RequestT", bound=BaseModel)
ReplyT = TypeVar("ReplyT", bound=BaseModel)

ERROR_HEADER = "Mesh-Error"
"""Header of a reply that is an error code and nothing else."""


class Requests:
    """The requests of one instance that are waiting."""

    def __init__(self, link: Link, inbox: str) -> None:
        self._link = link
        self._inbox = inbox
        self._numbers = count(1)
        self._waiting: dict[str, asyncio.Future[Delivery]] = {}

    async def start(self) -> None:
        """Subscribe to the inbox."""
        await self._link.subscribe(f"{self._inbox}.*", "", self._receive)

    async def ask(
        self,
        subject: Subject[RequestT, ReplyT],
        head: RequestT,
        tail: bytes,
        *,
        timeout: float,
        header: bytes,
    ) -> tuple[ReplyT, memoryview]:
        """Send and wait; see `Mesh.request`."""
        payload = pack(head, tail)
        reply = f"{self._inbox}.{next(self._numbers)}"
        future: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        self._waiting[reply] = future
        try:
            if not self._link.send(subject.name, reply, header, (payload,), len(payload)):
                raise MeshUnavailable("not connected to NATS", code=self._link.last_error or "unavailable")
            async with asyncio.timeout(timeout):
                delivery = await future
        except TimeoutError:
            raise MeshTimeout(f"no reply on {subject.name} within {timeout:g} s") from None
        finally:
            del self._waiting[reply]
        if delivery.no_responders:
            raise NoResponders(f"nobody serves {subject.name}")
        if delivery.headers and (code := delivery.headers.get(ERROR_HEADER)):
            raise RemoteError(f"{subject.name} answered with an error", code=code, retryable=code == "busy")
        return unpack(subject.reply, delivery.payload)

    def fail(self, error: MeshError) -> None:
        """End every waiting request with `error`."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)

    def _receive(self, delivery: Delivery) -> None:
        future = self._waiting.get(delivery.subject)
        if future is not None and not future.done():
            future.set_result(delivery)
