"""An application entity whose associations lose no response, and no time, whichever side has opened them."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.transport import ThreadedAssociationServer


class PreparedEntity(AE):
    """An AE each of whose associations is prepared when its connection opens."""

    def associate(self, *arguments: Any, **keywords: Any) -> Association:
        """Associate as pynetdicom does."""
        return super().associate(*arguments, **_with_preparation(keywords))

    def start_server(self, *arguments: Any, **keywords: Any) -> ThreadedAssociationServer | None:
        """Listen as pynetdicom does."""
        return super().start_server(*arguments, **_with_preparation(keywords))


def _with_preparation(keywords: dict[str, Any]) -> dict[str, Any]:
    handlers = keywords.get("evt_handlers") or ()
    return keywords | {"evt_handlers": [(evt.EVT_CONN_OPEN, _prepare), *handlers]}


def _prepare(event: Event) -> None:
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
