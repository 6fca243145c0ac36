"""A TCP relay that delays: what a long line does, in a process of its own.

    python -m tests.bench.delay LISTEN TARGET SECONDS

Bytes leave `SECONDS` after they came, in either direction, as many at once as come; a round trip takes twice that.
SIGUSR1 makes it print how many it has carried so far, in both directions together.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import deque
from dataclasses import dataclass
from typing import cast

_MOST = 64 << 20
"""Bytes on their way in one direction, at most."""


@dataclass(slots=True)
class _Carried:
    """What all connections together have carried."""

    bytes: int = 0

    def show(self) -> None:
        print(f"carried {self.bytes}", flush=True)


class _End(asyncio.Protocol):
    """One end of a line: what it receives leaves by the other one later. It copies nothing that the socket takes.

    Args:
        target: port that is connected to when this end is made; None: this is the far end.
    """

    def __init__(self, seconds: float, carried: _Carried, target: int | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._carried = carried
        self._target = target
        self._connecting: asyncio.Task[object] | None = None
        self._other: _End | None = None
        self._transport: asyncio.Transport | None = None
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._leaves: asyncio.TimerHandle | None = None
        self._may_write = False

    def join(self, other: _End) -> None:
        """Be the far end of another one."""
        self._other = other

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)
        self.resume_writing()
        if self._target is not None:
            self._connecting = self._loop.create_task(self._connect(self._target))

    async def _connect(self, target: int) -> None:
        self._other = far = _End(self._seconds, self._carried)
        far.join(self)
        assert self._transport is not None
        try:
            await self._loop.create_connection(lambda: far, "127.0.0.1", target)
        except OSError:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._take(data)
        if self._size > _MOST and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._take(b"")
        return True

    def _take(self, data: bytes) -> None:
        self._under_way.append((self._loop.time() + self._seconds, data))
        self._size += len(data)
        self._carried.bytes += len(data)
        if self._leaves is None:
            self._leaves = self._loop.call_at(self._under_way[0][0], self._leave)

    def _leave(self) -> None:
        """Let out what has been on its way for long enough, as far as the other end takes it."""
        self._leaves = None
        assert self._other is not None
        while self._under_way and self._other.may_write:
            due, data = self._under_way[0]
            if due > self._loop.time():
                self._leaves = self._loop.call_at(due, self._leave)
                return
            self._under_way.popleft()
            self._size -= len(data)
            self._other.write(data)
            if self._size <= _MOST and self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def go_on(self) -> None:
        """Let out what has waited for the other end."""
        if self._leaves is None:
            self._leave()

    @property
    def may_write(self) -> bool:
        """Whether there is a socket, and it has taken all that was written."""
        return self._may_write

    def write(self, data: bytes) -> None:
        """Let bytes out; none: there will be no more."""
        if self._transport is None or self._transport.is_closing():
            return
        if data:
            self._transport.write(data)
        elif self._transport.can_write_eof():
            self._transport.write_eof()

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        if self._other is not None:
            self._other.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._other is not None:
            self._other.end(broken=exc is not None)

    def end(self, *, broken: bool) -> None:
        """Close, when what was written is out; at once if the line broke."""
        if self._transport is not None:
            if broken:
                self._transport.abort()
            else:
                self._transport.close()


async def relay(listen: int, target: int, seconds: float) -> None:
    """Relay until cancelled."""
    loop = asyncio.get_running_loop()
    carried = _Carried()
    loop.add_signal_handler(signal.SIGUSR1, carried.show)
    server = await loop.create_server(lambda: _End(seconds, carried, target), "127.0.0.1", listen)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
