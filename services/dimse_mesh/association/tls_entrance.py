"""The entrance of a listener with TLS: the event loop's own servers tell nobody why a handshake fails."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from struct import unpack_from
from typing import Final

from dimse_mesh.association.door import NewcomersPace
from dimse_mesh.association.waiting import Waiting
from dimse_mesh.endpoint import PeerConnection
from dimse_mesh.endpoint.tls import TlsContext
from dimse_mesh.endpoint.tls_trouble import TlsTroubles, trouble_of

HANDSHAKE_TIMEOUT = 10.0
"""Seconds for a client's TLS handshake."""
HANDSHAKE_COST: Final = 0.001
"""Seconds of the process that a handshake takes, about."""
_BYTES_RECEIVED: Final = 128
"""Where Linux' struct tcp_info holds how many bytes have come."""


class TlsEntrance:
    """Lets those in whose TLS handshake succeeds.

    Args:
        context: the listener's.
        connection: makes the protocol of a connection, which waits no more when it stands.
        troubles: told of handshakes that fail.
        pace: of the process: the event loop shakes hands, and tells nobody how long that takes.
    """

    def __init__(
        self,
        context: TlsContext,
        connection: Callable[[Waiting], PeerConnection],
        troubles: TlsTroubles,
        pace: NewcomersPace,
    ) -> None:
        self._context = context
        self._connection = connection
        self._troubles = troubles
        self._pace = pace

    async def enter(self, accepted: socket.socket, waiting: Waiting, peer: str, port: int) -> None:
        """Shake hands."""
        self._pace.newcomers_took(HANDSHAKE_COST)
        with accepted.dup() as raw:
            waiting.descriptor = raw.fileno
            try:
                await asyncio.get_running_loop().connect_accepted_socket(
                    partial(self._connection, waiting),
                    accepted,
                    ssl=self._context.now(),
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                )
            except OSError as error:
                if _has_sent(raw):  # who sends nothing only looks whether somebody listens
                    self._troubles.note(peer, port, trouble_of(error), error)


def _has_sent(connection: socket.socket) -> bool:
    """Tell whether anything has come, the end apart, which counts as one byte; where the system doesn't say, it has."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return True
    info = connection.getsockopt(socket.IPPROTO_TCP, option, _BYTES_RECEIVED + 8)
    return len(info) < _BYTES_RECEIVED + 8 or unpack_from("=Q", info, _BYTES_RECEIVED)[0] > 1
