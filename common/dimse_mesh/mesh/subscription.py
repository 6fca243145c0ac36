"""An interest in a subject, from `Mesh.subscribe` until it is taken back."""

from __future__ import annotations

from collections.abc import Callable

from dimse_mesh.mesh.errors import report
from dimse_mesh.mesh.nats_connection import NatsConnection
from dimse_mesh.mesh.wire import Message


class Subscription:
    """Interest in a subject; lasts until `unsubscribe`, over every reconnect."""

    def __init__(
        self, subject: str, queue: str, callback: Callable[[Message], object], connection: NatsConnection
    ) -> None:
        self.subject = subject
        self.queue = queue
        self.received = 0
        self.failed = 0
        """Messages whose callback raised."""
        self._callback = callback
        self._connection = connection
        self._sid = 0

    async def start(self, *, stored: bool) -> None:
        """Subscribe; see `Mesh.subscribe`, which calls it."""
        self._sid = await self._connection.subscribe(self.subject, self.queue, self._deliver, stored=stored)

    def _deliver(self, message: Message) -> None:
        self.received += 1
        try:
            self._callback(message)
        except Exception as exc:  # noqa: BLE001 - the connection's reader must live
            self.failed += 1
            report(f"a subscriber of {self.subject}", exc)

    async def unsubscribe(self) -> None:
        """End the interest at once."""
        self._connection.unsubscribe(self._sid)

    async def drain(self) -> None:
        """End the interest, and return when everything that the server had sent before is handled."""
        await self._connection.drain(self._sid)
