"""A transport without a socket: what the connection writes goes to a function, what the peer sends comes by `feed`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from dimse_mesh.mesh.receive_blocks import Block


class MemoryTransport(asyncio.Transport):
    """One connection to a peer, at the mercy of the test: it may stall, close and vanish.

    Args:
        protocol: the connection under test.
        deliver: gets what the peer would read.
        on_closed: called when the transport is gone, whoever closed it.
        on_eof: called when the connection sends no more; None: it can't say so, as with TLS.
    """

    def __init__(
        self,
        protocol: asyncio.BufferedProtocol,
        deliver: Callable[[bytes], None],
        on_closed: Callable[[], None],
        on_eof: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(extra={"peername": ("127.0.0.1", 1)})
        self._protocol = protocol
        self._deliver = deliver
        self._on_closed = on_closed
        self._on_eof = on_eof
        self._output_ended = False
        self._loop = asyncio.get_running_loop()
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._high, self._low = 65536, 16384
        self._writing_paused = False
        self._scheduled = False
        self._eof = False
        self._eof_told = False
        self.reading = True
        self.stalled = False
        """Whether the peer takes nothing."""
        self.closing = False
        self.gone = False
        protocol.connection_made(self)

    # the peer's side

    def feed(self, data: bytes) -> None:
        """Let the peer send bytes, unless it sends no more."""
        if self._eof:
            return
        self._incoming += data
        self._schedule()

    def feed_eof(self) -> None:
        """Let the peer close, once what it sent was read."""
        self._eof = True
        self._schedule()

    def reset(self) -> None:
        """Let the connection be reset."""
        self._lose(ConnectionResetError())

    def stall(self, *, stalled: bool = True) -> None:
        """Let the peer take nothing, or everything again."""
        self.stalled = stalled
        if not stalled:
            self._flush()

    def take(self, size: int) -> None:
        """Let the peer, which is stalled, take a little."""
        data = bytes(self._outgoing[:size])
        del self._outgoing[:size]
        self._deliver(data)

    # the event loop's side

    def _schedule(self) -> None:
        if not self._scheduled and self.reading and not self.closing:
            self._scheduled = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        self._scheduled = False
        if self.gone or self.closing or not self.reading:
            return
        if self._incoming:
            buffer = memoryview(self._protocol.get_buffer(-1))
            size = min(len(buffer), len(self._incoming))
            buffer[:size] = self._incoming[:size]
            del self._incoming[:size]
            self._protocol.buffer_updated(size)
            self._overwrite(buffer, size)
        elif self._eof and not self._eof_told:
            self._eof_told = True
            if not self._protocol.eof_received() or self._on_eof is None:
                self.close()
        if self._incoming or (self._eof and not self._eof_told):
            self._schedule()

    @staticmethod
    def _overwrite(buffer: memoryview, size: int) -> None:
        """Overwrite what was read, as the next read of any connection may; not what somebody refers to in a block."""
        block = buffer.obj
        if isinstance(block, Block):
            buffer.release()
            if block.unused:
                block[:] = bytes(len(block))
        else:
            buffer[:size] = bytes(size)

    def _flush(self) -> None:
        if self._outgoing:
            data = bytes(self._outgoing)
            self._outgoing.clear()
            self._deliver(data)
        if self._writing_paused:
            self._writing_paused = False
            self._protocol.resume_writing()
        if self._output_ended and self._on_eof is not None:
            self._loop.call_soon(self._on_eof)
        if self.closing:
            self._lose(None)

    def _lose(self, reason: Exception | None) -> None:
        if not self.gone:
            self.gone = True
            self.closing = True
            self._loop.call_soon(self._protocol.connection_lost, reason)
            self._loop.call_soon(self._on_closed)

    # asyncio.Transport

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        raise NotImplementedError

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return self.closing

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        if self._incoming or self._eof:
            self._schedule()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        assert low is not None
        self._high, self._low = high, low

    def get_write_buffer_size(self) -> int:
        return len(self._outgoing)

    def write(self, data: Any) -> None:
        assert not self.gone, "written to a connection that is gone"
        assert not self._output_ended, "written behind the end"
        if self.closing:
            return
        if not self.stalled:
            self._loop.call_soon(self._deliver, bytes(data))
            return
        self._outgoing += data
        if len(self._outgoing) > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return self._on_eof is not None

    def write_eof(self) -> None:
        assert not self._output_ended
        assert self._on_eof is not None
        self._output_ended = True
        if not self._outgoing:
            self._loop.call_soon(self._on_eof)

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            if not self._outgoing:
                self._lose(None)

    def abort(self) -> None:
        self._outgoing.clear()
        self._lose(None)
