"""A little of everything, good and bad."""

from __future__ import annotations

import pytest

from tests.fault.archive import STORE
from tests.fault.clients import ask_find, ask_get
from tests.interop.observability.observed import DEAD, MPPS, N_CREATE, READ_ONLY, Observed, Target
from tests.support.scripted import Aborted, Closed, Rejected
from tests.support.wire import Command, Tag, pdu, request, store_rq


def a_bit_of_everything(watched: Observed) -> None:
    """Ask for operations that succeed, fail, and are refused; associate in vain; break the protocol."""
    with watched.open("TRAFFIC") as client:
        assert client.echo() == 0
        for uid in ("1.2.3", Target.BAD):
            client.exchange(store_rq(1, uid, bytes(60_000), context_id=STORE))
        create = request(
            Command.N_CREATE, 1, MPPS, data=b"", context_id=N_CREATE, more={Tag.AFFECTED_SOP_INSTANCE: "1.2"}
        )
        client.exchange(create)
        client.received.clear()
        ask_find(client, 20)
        ask_get(client, 1, 2_000)
        client.release()
    with watched.open("REFUSED", called=READ_ONLY) as client:
        client.exchange(store_rq(1, "1.2.3", b"", context_id=STORE))
        client.release()
    with pytest.raises(Rejected):
        watched.open("UNREACHABLE", called=DEAD)
    with watched.open("WRONG") as client:
        client.send(pdu(4, bytes.fromhex("0000000b6303") + bytes(9)))
        with pytest.raises((Aborted, Closed)):
            client.receive_message()
