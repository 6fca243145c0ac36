"""Wait for what an object reports by callback; no sleeping."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import anyio

from dimse_mesh.mesh import Mesh, Message


class Edges:
    """The edges of `Mesh.connected`, from now on."""

    def __init__(self, mesh: Mesh) -> None:
        self.seen: list[bool] = []
        self._condition = anyio.Event()
        mesh.on_change(self._note)

    def _note(self, connected: bool) -> None:
        self.seen.append(connected)
        self._condition.set()
        self._condition = anyio.Event()

    async def until(self, *edges: bool, timeout: float = 30) -> None:
        """Wait until exactly these edges were seen, in order."""
        with anyio.fail_after(timeout):
            while self.seen != list(edges):
                await self._condition.wait()


class Mailbox:
    """A subscriber that keeps what it gets."""

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self._changed = anyio.Event()

    def __call__(self, message: Message) -> None:
        """Take a message."""
        self.messages.append(message)
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, count: int, timeout: float = 30) -> list[Message]:
        """Wait for `count` messages in all, and return them."""
        with anyio.fail_after(timeout):
            while len(self.messages) < count:
                await self._changed.wait()
        return list(self.messages)

    def behind_a_fault(self, fault: Exception) -> Callable[[Message], None]:
        """Return a subscriber that raises for messages without payload and hands on the others."""

        def receive(message: Message) -> None:
            if not message.payload:
                raise fault
            self(message)

        return receive
