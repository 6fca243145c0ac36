"""pynetdicom peers, prepared as those of the demo's archive are: no delays, and no response that is lost."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE

from dimse_mesh.app.archive.associations import PreparedEntity

Handler = tuple[Any, Callable[..., Any]]


def entity(ae_title: str, *, max_pdu: int = 65536, timeout: float = 60.0) -> PreparedEntity:
    """Return an application entity that waits for answers so many seconds, and for requests without end.

    pynetdicom measures how long an association is idle by the time of day: a machine that is stopped for a while has
    it aborted.
    """
    ae = PreparedEntity(ae_title=ae_title)
    ae.maximum_pdu_size = max_pdu
    ae.acse_timeout = ae.dimse_timeout = ae.connection_timeout = timeout
    ae.network_timeout = None
    return ae


@contextmanager
def scp(
    ae: PreparedEntity,
    handlers: Iterable[Handler],
    *,
    port: int,
    contexts: Sequence[tuple[str, Sequence[str]]] = (),
    tls: ssl.SSLContext | None = None,
) -> Iterator[int]:
    """Serve `ae` on 127.0.0.1; `contexts` are (abstract syntax, transfer syntaxes), in both roles."""
    for abstract, transfers in contexts:
        ae.add_supported_context(abstract, list(transfers), scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=list(handlers), ssl_context=tls)
    assert server is not None
    try:
        yield server.socket.getsockname()[1] if server.socket is not None else port
    finally:
        server.shutdown()


@contextmanager
def scu(
    ae: PreparedEntity,
    port: int,
    *,
    called: str,
    handlers: Iterable[Handler] = (),
    ext_neg: Sequence[Any] = (),
) -> Iterator[Association]:
    """Associate with 127.0.0.1; the association is released (or aborted on an error) at the end."""
    assoc = ae.associate(
        "127.0.0.1", port, ae_title=called, evt_handlers=list(handlers), ext_neg=list(ext_neg)
    )
    try:
        yield assoc
    except BaseException:
        if assoc.is_established:
            assoc.abort()
        raise
    if assoc.is_established:
        assoc.release()


def was_rejected(assoc: Association) -> bool:
    """Tell whether the peer has rejected an association that we asked for.

    pynetdicom looks whether it is connected after it has asked. If the peer has rejected and closed by then, it takes
    that for a failure to connect: `is_rejected` stays False, and the rejection stays in its queue.
    """
    left = list(assoc.dul.to_user_queue.queue)
    return assoc.is_rejected or any(isinstance(each, A_ASSOCIATE) and each.result for each in left)
