"""A TCP relay between two programs that a test can cut, freeze, slow down and heal: the network that fails."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import deque
from types import TracebackType
from typing import Self

_PIECE = 1 << 18
_PIECE_SECONDS = 0.01
"""What a slow link takes for a piece."""


def _piece(rate: float) -> int:
    return int(min(_PIECE, max(1, rate * _PIECE_SECONDS)))


def _until(under_way: deque[tuple[float, socket.socket, bytes]]) -> float | None:
    """Return the seconds until the first of what is under way arrives; None: nothing is."""
    return max(under_way[0][0] - time.monotonic(), 0.0) if under_way else None


class Relay:
    """Listens on 127.0.0.1 and passes bytes on to `target`.

    `rate` and `delay` make it thin and long. `cut` ends every connection and refuses new ones; `freeze` keeps them but
    passes nothing on, as a dead link does; `heal` undoes all of that. `reset_after` resets one connection in the middle
    of what it carries.
    """

    def __init__(self, target: int, *, port: int = 0) -> None:
        self._target = target
        self.rate = float("inf")
        """Bytes per second that a connection carries, both ways together."""
        self.delay = 0.0
        """Seconds that bytes are on their way; half of a round trip."""
        self._whole = threading.Event()
        self._whole.set()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._refusing = False
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.carried = 0
        """Bytes passed on, both ways."""
        self._reset_at = float("inf")
        self._reset = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._refusing:
                    raise ConnectionRefusedError
                far = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                near.close()
                continue
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(None)
            with self._lock:
                if self._refusing or self._closed:
                    near.close()
                    far.close()
                    continue
                self._pairs.add((near, far))
            thread = threading.Thread(target=self._carry, args=(near, far), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        reset = False
        under_way: deque[tuple[float, socket.socket, bytes]] = deque()
        with selectors.DefaultSelector() as selector, contextlib.suppress(OSError, ValueError):
            selector.register(near, selectors.EVENT_READ, far)
            selector.register(far, selectors.EVENT_READ, near)
            room = memoryview(bytearray(_PIECE))
            while not reset:
                for key, _ in selector.select(_until(under_way)):
                    assert isinstance(key.fileobj, socket.socket)
                    count = key.fileobj.recv_into(room, _piece(self.rate))
                    self._whole.wait()
                    if not count:
                        raise OSError
                    time.sleep(count / self.rate)
                    if self.delay or under_way:
                        under_way.append((time.monotonic() + self.delay, key.data, bytes(room[:count])))
                    else:
                        key.data.sendall(room[:count])
                    reset |= self._count(count)
                while under_way and under_way[0][0] <= time.monotonic():
                    _, to, piece = under_way.popleft()
                    to.sendall(piece)
        self._end((near, far), reset=reset)

    def _count(self, count: int) -> bool:
        """Add to what was carried; tell whether the connection that carried it is to be reset now."""
        with self._lock:
            self.carried += count
            if self.carried < self._reset_at:
                return False
            self._reset_at = float("inf")
        self._reset.set()
        return True

    def _end(self, pair: tuple[socket.socket, socket.socket], *, reset: bool) -> None:
        with self._lock:
            self._pairs.discard(pair)
        for sock in pair:
            with contextlib.suppress(OSError):
                if reset:  # closed without lingering, a socket sends a reset and not a FIN
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def cut(self) -> None:
        """Break every connection and let none in."""
        self._refusing = True
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for sock in pair:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def reset_after(self, count: int) -> threading.Event:
        """Reset the connection that carries the byte that many from now, both ends; return what tells when."""
        with self._lock:
            self._reset = threading.Event()
            self._reset_at = self.carried + count
        return self._reset

    def freeze(self) -> None:
        """Pass nothing on; nobody is told."""
        self._whole.clear()

    def heal(self) -> None:
        """Work again, at full speed."""
        self._refusing = False
        self.rate, self.delay = float("inf"), 0.0
        self._whole.set()

    def close(self) -> None:
        """End the relay."""
        self._closed = True
        self._whole.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
