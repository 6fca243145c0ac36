"""A target that doesn't accept: what the client gets says whether another attempt helps (conformance statement).

That rejects and aborts of the target come through is in test_negotiation.py.
"""

from __future__ import annotations

import pytest

from tests.interop.conftest import Script, StartServer
from tests.support.mesh import Ae
from tests.support.scripted import Aborted, Client, Closed, Rejected, ServerPeer
from tests.support.way import Way
from tests.support.wire import RELEASE_RP_PDU

TEMPORARY_CONGESTION = (2, 3, 1)
"""Transient, service provider (presentation), temporary congestion; (2, 3, 2) would be a limit (PS3.8 §9.3.4)."""


def closing(peer: ServerPeer) -> None:
    """Read the A-ASSOCIATE-RQ and close."""
    peer.read_request()


def resetting(peer: ServerPeer) -> None:
    """Read the A-ASSOCIATE-RQ and reset."""
    peer.read_request()
    peer.reset()


@pytest.mark.parametrize("script", [closing, resetting])
def test_target_that_closes_without_an_answer_closes_the_client(
    way: Way, cloud_ae: Ae, scripted: StartServer, script: Script
) -> None:
    scripted(script)
    with pytest.raises(Closed):
        Client.open(way.entry(cloud_ae), called=cloud_ae.title)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(RELEASE_RP_PDU, id="another PDU"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="no PDU"),
        pytest.param(b"\x02\0\0\0\0\x04\0\1\0\0", id="cut-off A-ASSOCIATE-AC"),
    ],
)
def test_target_whose_answer_makes_no_sense_aborts_the_client(
    way: Way, cloud_ae: Ae, scripted: StartServer, answer: bytes
) -> None:
    way.need_mesh()

    def script(peer: ServerPeer) -> None:
        peer.read_request()
        peer.send(answer)

    scripted(script)
    with pytest.raises(Aborted) as caught:
        Client.open(way.entry(cloud_ae), called=cloud_ae.title)
    assert (caught.value.source, caught.value.reason) == (2, 0)


def test_target_that_cannot_be_reached_is_worth_another_attempt(
    way: Way, cloud_ae: Ae, scripted: StartServer
) -> None:
    way.need_mesh()
    with pytest.raises(Rejected) as caught:
        Client.open(way.entry(cloud_ae), called=cloud_ae.title)
    assert caught.value.triple == TEMPORARY_CONGESTION
    scripted()
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title) as client:
        assert client.echo() == 0
        client.release()
