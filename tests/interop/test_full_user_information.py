"""User information so long that our own items don't fit beside it: one association is refused, and nothing else."""

from __future__ import annotations

import pytest

from tests.interop.conftest import StartServer
from tests.support.mesh import Ae
from tests.support.scripted import Client, Rejected, ServerPeer, accept_and_serve
from tests.support.way import Way
from tests.support.wire import item, user_information

TEMPORARY_CONGESTION = (2, 3, 1)


def filling(version: str) -> bytes:
    """Return a sub-item that fills up the user information item to its 65,535 bytes."""
    rest = 0xFFFF - (len(user_information(16384, b"", version)) - 4)
    return item(0x7F, bytes(rest - 4))


def test_a_target_that_says_too_much_is_refused_and_the_front_end_lives(
    way: Way, cloud_ae: Ae, scripted: StartServer
) -> None:
    talkative = True

    def target(peer: ServerPeer) -> None:
        if talkative:
            peer.accept_association(extra=filling("SCRIPTED_AC"))
            peer.serve(lambda _: ())
        else:
            accept_and_serve(peer)

    scripted(target)
    with pytest.raises(Rejected) as rejected:
        Client.open(way.entry(cloud_ae), called=cloud_ae.title)
    assert rejected.value.triple == TEMPORARY_CONGESTION
    talkative = False
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title) as client:
        assert client.echo() == 0
        client.release()


def test_a_client_that_says_too_much_is_refused(way: Way, cloud_ae: Ae, scripted: StartServer) -> None:
    scripted()
    with pytest.raises(Rejected) as rejected:
        Client.open(way.entry(cloud_ae), called=cloud_ae.title, extra=filling("SCRIPTED_RQ"))
    assert rejected.value.triple == TEMPORARY_CONGESTION
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title) as client:
        assert client.echo() == 0
        client.release()
