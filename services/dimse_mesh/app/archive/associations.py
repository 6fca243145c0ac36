"""What pynetdicom does otherwise, and every association of the archive needs, whichever side has opened it."""

from __future__ import annotations

import socket
import threading
import time

from pynetdicom.association import Association
from pynetdicom.events import Event


def prepare(event: Event) -> None:
    """Prepare an association whose connection has just opened."""
    event.assoc._reactor_checkpoint = Checkpoint(event.assoc)  # type: ignore[assignment]
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:  # else each small object costs a delayed ACK
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Checkpoint:
    """Where the thread of an association waits while another one sends on it, and takes the response.

    In place of pynetdicom's event: pynetdicom 3.0.4 takes that thread for waiting when it is about to, though it may
    have found nothing to wait for just before. Then it takes the response away, and who has sent waits for 30 s.
    """

    def __init__(self, association: Association) -> None:
        self._association = association
        self._changed = threading.Condition()
        self._is_open = True
        self._has_waiter = False

    def wait(self) -> None:
        """Wait until it is open."""
        with self._changed:
            self._has_waiter = True
            self._changed.wait_for(lambda: self._is_open)
            self._has_waiter = False

    def set(self) -> None:
        """Open it."""
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Close it; return when the thread waits, or has ended. A C-GET sends on it itself: then nobody is to wait."""
        with self._changed:
            self._is_open = False
        if threading.current_thread() is not self._association:
            while not self._has_waiter and self._association.is_alive():
                time.sleep(0.0001)
