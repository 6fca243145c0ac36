"""TCP_NODELAY on the archive's sockets: with pynetdicom's default each small object costs a delayed ACK."""

from __future__ import annotations

import socket

from pynetdicom.events import Event


def no_delay(event: Event) -> None:
    """Set it on a connection that has just opened, either way round."""
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
