"""A listener with TLS: accepts connections itself, since the event loop's own servers tell nobody why TLS fails."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from struct import unpack_from
from typing import Final

import anyio
from anyio.abc import SocketAttribute, TaskGroup

from dimse_mesh.association.waiting import WaitingRoom
from dimse_mesh.endpoint import PeerConnection
from dimse_mesh.endpoint.tls import TlsContext
from dimse_mesh.endpoint.tls_trouble import TlsTroubles, trouble_of
from dimse_mesh.mesh.errors import report

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT = 10.0
"""Seconds for a client's TLS handshake."""
ACCEPT_PAUSE = 1.0
"""Seconds until the next connection is accepted when the system has no more file descriptors."""
_BYTES_RECEIVED: Final = 128
"""Where Linux' struct tcp_info holds how many bytes have come."""


class TlsDoor:
    """Accepts connections, and hands those on whose TLS stands.

    Args:
        context: the listener's.
        connection: makes the protocol of a connection.
        troubles: told of handshakes that fail.
        room: of those whose handshake is under way.
    """

    def __init__(
        self,
        context: TlsContext,
        connection: Callable[[], PeerConnection],
        troubles: TlsTroubles,
        room: WaitingRoom,
    ) -> None:
        self._context = context
        self._connection = connection
        self._troubles = troubles
        self._room = room
        self._scopes: list[anyio.CancelScope] = []
        self.sockets: list[socket.socket] = []
        """Those that are listened on."""

    async def open(self, tasks: TaskGroup, host: str, port: int, *, backlog: int, reuse_port: bool) -> None:
        """Listen, and accept in `tasks` until `close`.

        Raises:
            OSError: the port is in use, or the address isn't ours.
        """
        opened = await anyio.create_tcp_listener(
            local_host=host, local_port=port, backlog=backlog, reuse_port=reuse_port
        )
        self.sockets = [listener.extra(SocketAttribute.raw_socket) for listener in opened.listeners]
        for listening in self.sockets:
            tasks.start_soon(self._accept, listening, tasks)

    def close(self) -> None:
        """Accept no more; connections that stand stay."""
        for scope in self._scopes:
            scope.cancel()
        for listening in self.sockets:
            listening.close()

    async def _accept(self, listening: socket.socket, tasks: TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        with anyio.CancelScope() as scope:
            self._scopes.append(scope)
            while True:
                try:
                    accepted, address = await loop.sock_accept(listening)
                except OSError as error:
                    log.warning("no connection can be accepted: %s", error.strerror)
                    await anyio.sleep(ACCEPT_PAUSE)
                else:
                    tasks.start_soon(self._shake_hands, accepted, str(address[0]), listening.getsockname()[1])

    async def _shake_hands(self, accepted: socket.socket, peer: str, port: int) -> None:
        try:
            await self._hand_on(accepted, peer, port)
        except OSError as error:
            log.warning("a connection from %s is closed: %s", peer, error.strerror)
            accepted.close()
        except Exception as error:  # noqa: BLE001 - one handshake must not end the others
            report("a TLS handshake", error)
            accepted.close()

    async def _hand_on(self, accepted: socket.socket, peer: str, port: int) -> None:
        """Shake hands, and give the connection its protocol.

        Raises:
            OSError: there is no descriptor left.
        """
        with accepted.dup() as raw, anyio.CancelScope() as scope:
            waiting = self._room.enter(peer, scope.cancel, raw.fileno)
            try:
                await asyncio.get_running_loop().connect_accepted_socket(
                    self._connection,
                    accepted,
                    ssl=self._context.now(),
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                )
            except OSError as error:
                if _has_sent(raw):  # who sends nothing only looks whether somebody listens
                    self._troubles.note(peer, port, trouble_of(error), error)
            finally:
                waiting.lost()


def _has_sent(connection: socket.socket) -> bool:
    """Tell whether anything has come, the end apart, which counts as one byte; where the system doesn't say, it has."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return True
    info = connection.getsockopt(socket.IPPROTO_TCP, option, _BYTES_RECEIVED + 8)
    return len(info) < _BYTES_RECEIVED + 8 or unpack_from("=Q", info, _BYTES_RECEIVED)[0] > 1
