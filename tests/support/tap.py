"""Everything that travels over a nats-server, as its own protocol brings it: subjects, headers, payloads.

While a tap listens, every subject has a subscriber: the server's `no responders` is never seen.
"""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.support.permitted import TEST_USER


@dataclass(frozen=True, slots=True)
class Tapped:
    """One message."""

    subject: str
    reply: str
    headers: bytes
    """The header block as it came; empty: none."""
    payload: bytes


class Tap:
    """Subscribes to `>` at 127.0.0.1:`port` for the length of the block, on a server of `permitted_server`."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._stream = self._socket.makefile("rb")
        self._messages: list[Tapped] = []
        self._changed = threading.Condition()
        self._ponged = threading.Event()
        assert self._stream.readline().startswith(b"INFO ")
        options = {
            **{"verbose": False, "pedantic": False, "headers": True, "name": "tap", "lang": "python"},
            **{"user": TEST_USER, "pass": TEST_USER},
        }
        self._socket.sendall(b"CONNECT " + json.dumps(options).encode() + b"\r\nSUB > 1\r\nPING\r\n")
        self._socket.settimeout(None)
        self._thread = threading.Thread(target=self._read, name="tap", daemon=True)
        self._thread.start()
        assert self._ponged.wait(10), "nats-server doesn't answer the tap"

    @property
    def messages(self) -> list[Tapped]:
        """What has come so far."""
        with self._changed:
            return list(self._messages)

    def _read(self) -> None:
        try:
            while line := self._stream.readline():
                verb, *fields = line.decode("latin-1").split()
                match verb:
                    case "MSG" | "HMSG":
                        self._take(verb == "HMSG", fields)
                    case "PING":
                        self._socket.sendall(b"PONG\r\n")
                    case "PONG":
                        self._ponged.set()
        except (OSError, ValueError):
            return

    def _take(self, with_headers: bool, fields: list[str]) -> None:
        """Read the body of `subject sid [reply] [header bytes] total bytes`."""
        total = int(fields[-1])
        head = int(fields[-2]) if with_headers else 0
        reply = fields[2] if len(fields) == (5 if with_headers else 4) else ""
        body = self._stream.read(total + 2)
        with self._changed:
            self._messages.append(Tapped(fields[0], reply, body[:head], body[head:total]))
            self._changed.notify_all()

    def close(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._stream.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
