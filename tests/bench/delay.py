"""A TCP relay that delays: what a long line does, in a process of its own.

    python -m tests.bench.delay LISTEN TARGET SECONDS

Bytes leave `SECONDS` after they came, in either direction, as many at once as come; a round trip takes twice that.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque

_PIECE = 1 << 18
_MOST = 64 << 20
"""Bytes on their way in one direction, at most."""


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Pass bytes on, each piece when it has been on its way for so long."""
    loop = asyncio.get_running_loop()
    under_way: deque[tuple[float, bytes]] = deque()
    more, room = asyncio.Event(), asyncio.Event()
    room.set()
    size = 0

    async def take() -> None:
        nonlocal size
        while True:
            piece = await reader.read(_PIECE)
            under_way.append((loop.time() + seconds, piece))
            more.set()
            if not piece:
                return
            size += len(piece)
            if size > _MOST:
                room.clear()
                await room.wait()

    taking = asyncio.ensure_future(take())
    try:
        while True:
            while not under_way:
                more.clear()
                await more.wait()
            due, piece = under_way.popleft()
            await asyncio.sleep(max(due - loop.time(), 0))
            if not piece:
                break
            size -= len(piece)
            room.set()
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()
    finally:
        taking.cancel()


async def relay(listen: int, target: int, seconds: float) -> None:
    """Relay until cancelled."""

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target, limit=_PIECE)
        await asyncio.gather(_carry(reader, back, seconds), _carry(there, writer, seconds))
        for each in (writer, back):
            each.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", listen, limit=_PIECE)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
