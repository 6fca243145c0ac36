"""Requests that a front-end makes of its client, on an association that it has accepted by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio

from dimse_mesh.dimse import CommandSet
from dimse_mesh.endpoint.peer import DicomPeer


class OwnRequests:
    """The requests that wait for their responses."""

    def __init__(self, peer: DicomPeer) -> None:
        self._peer = peer
        self._last = 0
        self._waiting: dict[int, asyncio.Future[CommandSet | None]] = {}
        self._ended = False

    async def ask(
        self, context_id: int, build: Callable[[int], CommandSet], data: bytes, *, timeout: float
    ) -> int | None:
        """Send a request; return the status of the response, or None: none came.

        Args:
            build: makes the command set with a message id.
        """
        if self._ended or not self._peer.takes_messages:
            return None
        self._last = message_id = self._last % 65535 + 1
        future: asyncio.Future[CommandSet | None] = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = future
        try:
            self._peer.write_message(context_id, build(message_id).encode(), data)
            with anyio.move_on_after(timeout):
                response = await future
                return None if response is None else response.status
        finally:
            del self._waiting[message_id]
        return None

    def answered(self, response: CommandSet) -> None:
        """Take a response of the client."""
        future = self._waiting.get(response.message_id_being_responded_to or 0)
        if future is not None and not future.done():
            future.set_result(response)

    def end(self) -> None:
        """Say that no response comes any more."""
        self._ended = True
        for future in self._waiting.values():
            if not future.done():
                future.set_result(None)
