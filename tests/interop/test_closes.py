"""Connections that are closed without a word: direct and through the mesh the same arrives, and then the close."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.interop.conftest import StartServer
from tests.interop.exchanges import CONTEXTS, FIND, GET, store_of
from tests.support.files import pattern
from tests.support.mesh import Ae
from tests.support.scripted import Client, Closed, Peer, Server, ServerPeer
from tests.support.way import Way
from tests.support.wire import (
    CT_STORAGE,
    RELEASE_RP_PDU,
    RELEASE_RQ_PDU,
    Message,
    Pdu,
    PduType,
    abort,
    asynchronous_window,
    p_data,
    response,
    role_selection,
    store_rq,
)

EXTRA = role_selection(CT_STORAGE, scu=1, scp=1) + asynchronous_window(0, 0)
STORE = store_of(100_000)
TIMES = 20

Heard = tuple[list[Message], str]


def listen(peer: Peer) -> Heard:
    """Return the messages that come, and how that ends."""
    messages = []
    try:
        while True:
            received = peer.receive()
            if isinstance(received, Message):
                messages.append(received)
            elif received.kind == PduType.ABORT:
                return messages, f"abort {received.body[2:4].hex()}"
            elif received.kind == PduType.RELEASE_RQ:
                peer.send(RELEASE_RP_PDU)
    except Closed:
        return messages, "closed"


def whole_pdus(stream: bytes) -> int:
    """Return how many bytes the PDUs take that are whole."""
    end = 0
    while len(stream) - end >= 6:
        following = end + 6 + int.from_bytes(stream[end + 2 : end + 6], "big")
        if following > len(stream):
            break
        end = following
    return end


def no_more(peer: Peer) -> None:
    """Send no more, but go on reading."""
    peer.sock.shutdown(socket.SHUT_WR)


def test_a_target_that_closes_behind_its_final_response(
    way: Way, cloud_ae: Ae, scripted: StartServer
) -> None:
    def script(peer: ServerPeer) -> None:
        peer.accept_association(extra=EXTRA)
        asked = peer.receive_message()
        for number in range(100):
            peer.send_message(response(asked, 0xFF00, data=pattern(300, number)))
        peer.send_message(response(asked))

    scripted(script)
    for _ in range(TIMES):
        with Client.open(
            way.entry(cloud_ae), called=cloud_ae.title, contexts=CONTEXTS, extra=EXTRA
        ) as client:
            client.send_message(FIND)
            messages, end = listen(client)
            assert [message.status for message in messages] == [0xFF00] * 100 + [0]
            assert end == "closed"


def test_a_target_that_closes_behind_a_sub_operation_and_its_final_response(
    way: Way, cloud_ae: Ae, scripted: StartServer
) -> None:
    def script(peer: ServerPeer) -> None:
        peer.accept_association(extra=EXTRA)
        asked = peer.receive_message()
        peer.send_message(STORE)
        peer.send_message(response(asked))

    scripted(script)
    for _ in range(TIMES):
        with Client.open(
            way.entry(cloud_ae), called=cloud_ae.title, contexts=CONTEXTS, extra=EXTRA
        ) as client:
            client.send_message(GET)
            messages, end = listen(client)
            assert messages[0] == STORE
            assert messages[1].status == 0
            assert (len(messages), end) == (2, "closed")


def test_answers_still_come_to_a_client_that_sends_no_more(
    way: Way, cloud_ae: Ae, scripted: StartServer
) -> None:
    def script(peer: ServerPeer) -> None:
        peer.accept_association(extra=EXTRA)
        asked = peer.receive_message()
        with pytest.raises(Closed):
            peer.receive()
        for number in range(20):
            peer.send_message(response(asked, 0xFF00, data=pattern(300, number)))
        peer.send_message(response(asked))

    server = scripted(script)
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=CONTEXTS, extra=EXTRA) as client:
        client.send_message(FIND)
        no_more(client)
        messages, end = listen(client)
        assert [message.status for message in messages] == [0xFF00] * 20 + [0]
        assert end == "closed"
    server.join()


def test_the_release_is_answered_to_a_client_that_sends_no_more(
    way: Way, cloud_ae: Ae, scripted: StartServer
) -> None:
    def script(peer: ServerPeer) -> None:
        peer.accept_association(extra=EXTRA)
        asked = peer.receive_message()
        got = peer.receive()
        assert isinstance(got, Pdu)
        assert got.kind == PduType.RELEASE_RQ
        with pytest.raises(Closed):
            peer.receive()
        peer.send_message(response(asked))
        peer.send(RELEASE_RP_PDU)

    server = scripted(script)
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=CONTEXTS, extra=EXTRA) as client:
        client.send_message(FIND)
        client.send(RELEASE_RQ_PDU)
        no_more(client)
        assert client.receive_message().status == 0
        answer = client.receive()
        assert isinstance(answer, Pdu)
        assert answer.kind == PduType.RELEASE_RP
        with pytest.raises(Closed):
            client.receive()
    server.join()


@dataclass(frozen=True)
class Ending:
    """How one side ends the association, and whether all that it sent must have arrived."""

    name: str
    act: Callable[[Peer], None]
    orderly: bool
    word: str


ENDINGS = (
    Ending("FIN", Peer.close, orderly=True, word="closed"),
    Ending("half-close", no_more, orderly=True, word="closed"),
    Ending("RST", Peer.reset, orderly=False, word="closed"),
    Ending("A-ABORT", lambda peer: peer.send(abort(0, 0)), orderly=False, word="abort 0000"),
)


def run(port: int, ae: Ae, sent: bytes, ending: Ending, *, by_client: bool) -> Heard:
    """Let one side send these bytes and end; return what the other side hears. Then that closes, too."""
    heard: list[Heard] = []

    def end(peer: Peer) -> None:
        peer.send(sent)
        ending.act(peer)
        if ending.name in ("half-close", "A-ABORT"):
            listen(peer)

    def script(peer: ServerPeer) -> None:
        peer.accept_association(extra=EXTRA)
        if by_client:
            heard.append(listen(peer))
        else:
            end(peer)

    with (
        Server(script, port=ae.port) as server,
        Client.open(port, called=ae.title, contexts=CONTEXTS, extra=EXTRA) as client,
    ):
        if by_client:
            end(client)
        else:
            heard.append(listen(client))
        server.wait_for_peers(1)
        if not by_client or ending.name in ("FIN", "RST"):
            client.close()
        server.join()
    return heard[0]


@given(
    sizes=st.lists(st.integers(0, 300) | st.integers(0, 40_000), min_size=1, max_size=4),
    share=st.floats(0, 1),
    ending=st.sampled_from(ENDINGS),
    by_client=st.booleans(),
)
@settings(
    max_examples=60,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_an_end_at_any_byte_shows_as_it_does_directly(
    way: Way, sizes: list[int], share: float, ending: Ending, *, by_client: bool
) -> None:
    messages = [
        store_rq(number, f"1.2.{number}", pattern(size, number)) for number, size in enumerate(sizes, 1)
    ]
    stream = b"".join(map(p_data, messages))
    cut = stream[: int(len(stream) * share)]
    if ending.name == "A-ABORT":  # which is none in the middle of another PDU
        cut = cut[: whole_pdus(cut)]
    with way.borrowed() as ae:
        direct = run(ae.port, ae, cut, ending, by_client=by_client)
        through = run(way.entry(ae), ae, cut, ending, by_client=by_client)
    if ending.orderly:
        assert through == direct
    else:  # what was sent before may be lost, with TCP as with the mesh
        assert through[0] == messages[: len(through[0])]
    assert through[1] == direct[1] == ending.word
