"""A client of NATS that publishes what our own would refuse to, with a role's real key."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import nkeys


class Published(NamedTuple):
    """A message to publish; an empty header block or reply: none."""

    subject: bytes
    payload: bytes
    headers: bytes = b""
    reply: bytes = b""


class RawUser:
    """Connects to nats-server at 127.0.0.1:`port` for the length of the block.

    Attributes:
        refused: how many messages its permissions did not let through.
    """

    def __init__(self, port: int, seed: Path) -> None:
        self.refused = 0
        self._socket = socket.create_connection(("127.0.0.1", port), 30)
        self._stream = self._socket.makefile("rb")
        info = json.loads(self._stream.readline().removeprefix(b"INFO "))
        key = nkeys.from_seed(seed.read_bytes().strip())
        options = {
            "verbose": False,
            "pedantic": False,
            "headers": True,
            "no_responders": True,
            "nkey": key.public_key.decode(),
            "sig": base64.b64encode(key.sign(info["nonce"].encode())).decode(),
        }
        self._socket.sendall(b"CONNECT " + json.dumps(options).encode() + b"\r\n")
        self.publish(())

    def publish(self, messages: Iterable[Published]) -> None:
        """Publish, and return when the server has it all.

        Raises:
            ConnectionError: the server has closed the connection.
        """
        for message in messages:
            reply = b" " + message.reply if message.reply else b""
            sizes = b"%d" % (len(message.headers) + len(message.payload))
            if message.headers:
                sizes = b"%d " % len(message.headers) + sizes
            verb = b"HPUB" if message.headers else b"PUB"
            line = b"%s %s%s %s\r\n" % (verb, message.subject, reply, sizes)
            self._socket.sendall(b"".join((line, message.headers, message.payload, b"\r\n")))
        self._socket.sendall(b"PING\r\n")
        while (line := self._stream.readline()) != b"PONG\r\n":
            if not line:
                raise ConnectionError("nats-server has closed the connection")
            if line.startswith(b"PING"):
                self._socket.sendall(b"PONG\r\n")
            self.refused += line.startswith(b"-ERR 'Permissions Violation")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._socket.close()
