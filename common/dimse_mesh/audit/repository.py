"""An audit record repository: where it is, and the connection to it (RFC 5424 over RFC 5425 or RFC 5426)."""

from __future__ import annotations

import select
import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from dimse_mesh.audit.syslog import octet_counted

TIMEOUT: Final = 10.0
"""Seconds to connect, and for each write."""
UNANSWERED_MILLISECONDS: Final = 20_000
"""How long TCP waits for the acknowledgement of what was sent, before the connection is given up."""
FINISH_SECONDS: Final = 1.0
"""How long a repository may take to read the rest."""
MOST_DATAGRAM: Final = 60_000


class SyslogProtocol(StrEnum):
    """How syslog messages travel."""

    TLS = "tls"
    """RFC 5425: over TLS, with octet counting."""
    UDP = "udp"
    """RFC 5426: one message a datagram. Nobody knows what arrives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryTls:
    """TLS towards a repository: files in PEM.

    Attributes:
        ca: authorities to trust; None: the system's.
        cert, key: what we show of ourselves; None: nothing.
        server_name: the name to expect in its certificate; None: the host's.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Where a repository is."""

    host: str
    port: int
    protocol: SyslogProtocol
    tls: RepositoryTls = RepositoryTls()

    def connect(self) -> RepositoryConnection:
        """Connect.

        Raises:
            OSError: it can't be reached, or its certificate is not the right one.
        """
        if self.protocol is SyslogProtocol.UDP:
            return _Datagrams(self.host, self.port)
        return _Stream(self.host, self.port, self.tls)


class RepositoryConnection(Protocol):
    """A way to a repository, used by one thread."""

    def send(self, messages: list[bytes]) -> None:
        """Send messages.

        Raises:
            OSError: the connection is lost. What was sent last may be lost, too.
        """

    def check(self) -> None:
        """Find out whether the connection still stands.

        Raises:
            OSError: it doesn't.
        """

    def finish(self) -> bool:
        """End the connection in order; return whether the repository has read all that was sent."""

    def close(self) -> None:
        """Close it."""


class _Stream:
    """TLS (RFC 5425). The peer says nothing, so whatever comes is the end."""

    def __init__(self, host: str, port: int, tls: RepositoryTls) -> None:
        context = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
        plain = socket.create_connection((host, port), timeout=TIMEOUT)
        try:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MILLISECONDS)
            self._socket = context.wrap_socket(plain, server_hostname=tls.server_name or host)
        except BaseException:
            plain.close()
            raise

    def send(self, messages: list[bytes]) -> None:
        self._socket.settimeout(TIMEOUT)
        self._socket.sendall(b"".join(map(octet_counted, messages)))

    def check(self) -> None:
        readable, _, _ = select.select([self._socket], [], [], 0)
        if not readable:
            return
        self._socket.setblocking(False)
        try:
            if not self._socket.recv(4096):
                raise ConnectionResetError("the repository has closed the connection")
        except (ssl.SSLWantReadError, BlockingIOError):
            pass  # a session ticket

    def finish(self) -> bool:
        self._socket.settimeout(FINISH_SECONDS)
        try:
            self._socket.unwrap().close()  # its answer comes behind all that it has read
        except ssl.SSLEOFError:
            return True  # closed without an answer; with something unread it would have been reset
        except (OSError, ValueError):
            return False
        return True

    def close(self) -> None:
        self._socket.close()


class _Datagrams:
    """UDP (RFC 5426)."""

    def __init__(self, host: str, port: int) -> None:
        (family, kind, number, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        self._socket = socket.socket(family, kind, number)
        try:
            self._socket.connect(address)
        except BaseException:
            self._socket.close()
            raise

    def send(self, messages: list[bytes]) -> None:
        for message in messages:
            try:
                self._socket.send(message[:MOST_DATAGRAM])
            except ConnectionRefusedError:  # ICMP's answer to an earlier one
                self._socket.send(message[:MOST_DATAGRAM])

    def check(self) -> None:
        """UDP has nothing to check."""

    def finish(self) -> bool:
        return True

    def close(self) -> None:
        self._socket.close()
