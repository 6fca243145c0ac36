"""pynetdicom peers with TCP_NODELAY set (its default, Nagle on, makes timings mislead)."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

Handler = tuple[Any, Callable[..., Any]]


def no_delay(event: Event) -> None:
    """Switch Nagle's algorithm off."""
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def entity(ae_title: str, *, max_pdu: int = 65536, timeout: float = 20.0) -> AE:
    """Return an application entity with bounded timeouts."""
    ae = AE(ae_title=ae_title)
    ae.maximum_pdu_size = max_pdu
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = timeout
    return ae


@contextmanager
def scp(
    ae: AE,
    handlers: Iterable[Handler],
    *,
    port: int,
    contexts: Sequence[tuple[str, Sequence[str]]] = (),
    tls: ssl.SSLContext | None = None,
) -> Iterator[int]:
    """Serve `ae` on 127.0.0.1; `contexts` are (abstract syntax, transfer syntaxes), in both roles."""
    for abstract, transfers in contexts:
        ae.add_supported_context(abstract, list(transfers), scu_role=True, scp_role=True)
    bound: list[Any] = [(evt.EVT_CONN_OPEN, no_delay), *handlers]
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=bound, ssl_context=tls)
    assert server is not None
    try:
        yield server.socket.getsockname()[1] if server.socket is not None else port
    finally:
        server.shutdown()


@contextmanager
def scu(
    ae: AE, port: int, *, called: str, handlers: Iterable[Handler] = (), ext_neg: Sequence[Any] = ()
) -> Iterator[Association]:
    """Associate with 127.0.0.1; the association is released (or aborted on an error) at the end."""
    bound: list[Any] = [(evt.EVT_CONN_OPEN, no_delay), *handlers]
    assoc = ae.associate("127.0.0.1", port, ae_title=called, evt_handlers=bound, ext_neg=list(ext_neg))
    try:
        yield assoc
    except BaseException:
        if assoc.is_established:
            assoc.abort()
        raise
    if assoc.is_established:
        assoc.release()


def store(assoc: Association, item: Dataset) -> int:
    """Send C-STORE and return the status.

    pynetdicom 3.0.4: a request right after another may find the reactor "paused" that is just waking up, and
    which then swallows the response. Let it wake up first.
    """
    while assoc._is_paused and assoc.is_established:
        time.sleep(0.0001)
    status: int = assoc.send_c_store(item).Status
    return status
