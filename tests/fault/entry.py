"""How clients come and go: refused for now means come again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from tests.fault.ledger import Ledger
from tests.support.scripted import Aborted, Client, Closed, Rejected
from tests.support.wire import RELEASE_RQ_PDU, Context, Pdu, PduType

TRANSIENT = 2
COME_AGAIN = 0.05
"""Seconds until a client that was turned away asks again."""
PATIENCE = 30.0
"""Seconds after which a client that is turned away again and again has failed."""


def come_in(
    port: int,
    *,
    called: str,
    calling: str,
    contexts: Iterable[Context],
    extra: bytes = b"",
    timeout: float,
    ledger: Ledger,
    stop: threading.Event | None = None,
) -> Client | None:
    """Open an association, however often it takes; None (and a failure in the books) if that does not help."""
    again = stop or threading.Event()
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return Client.open(
                port, called=called, calling=calling, contexts=contexts, extra=extra, timeout=timeout
            )
        except Rejected as error:
            result, source, reason = error.triple
            if result != TRANSIENT:
                ledger.failed(f"open: {error}")
                return None
            ledger.away(f"rejected {source}/{reason}")
        except (ConnectionRefusedError, Closed, Aborted, ConnectionResetError) as error:
            ledger.away(type(error).__name__)
        except OSError as error:
            ledger.failed(f"open: {type(error).__name__}: {error}")
        if time.monotonic() > end:
            ledger.failed("open: turned away for too long")
            return None
        if again.wait(COME_AGAIN):
            return None


def release(client: Client) -> None:
    """Release an association.

    Raises:
        Aborted, Closed: it ended otherwise.
    """
    client.send(RELEASE_RQ_PDU)
    answer = client.receive()
    assert isinstance(answer, Pdu)
    if answer.kind == PduType.ABORT:
        raise Aborted(answer)
    assert answer.kind == PduType.RELEASE_RP, f"PDU type {answer.kind} in answer to A-RELEASE-RQ"
