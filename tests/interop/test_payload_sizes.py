"""Data sets at every edge: nothing, one PDU, one byte more, inline or streamed, in odd fragments."""

from __future__ import annotations

import hashlib

import pytest

from tests.interop.conftest import StartServer
from tests.support.files import pattern
from tests.support.mesh import Ae
from tests.support.scripted import Client, ServerPeer, success
from tests.support.way import Way
from tests.support.wire import CT_STORAGE, Context, p_data, pdu, store_rq
from tests.support.wire import fragments as pdvs

PDU = 16384
INLINE = 32 * 1024
CHUNK = 60 * 1024
WINDOW = 8 << 20
EDGES = sorted(
    {0, 1, 2, PDU - 6}
    | {edge + delta for edge in (PDU - 6, PDU - 12, INLINE, CHUNK, 2 * CHUNK, 131066) for delta in (-1, 0, 1)}
    | {WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW + 7}
)


def open_store(way: Way, ae: Ae) -> Client:
    return Client.open(way.entry(ae), called=ae.title, contexts=[Context(1, CT_STORAGE)], max_length=PDU)


def target(peer: ServerPeer) -> None:
    peer.accept_association(max_length=PDU)
    peer.serve(success)


def test_data_sets_of_every_edge_size_arrive_whole(way: Way, cloud_ae: Ae, scripted: StartServer) -> None:
    server = scripted(target)
    with open_store(way, cloud_ae) as client:
        for number, size in enumerate(EDGES, 1):
            sent = store_rq(number, f"1.2.3.{number}", pattern(size, number))
            answer = client.exchange(sent)
            assert answer.status == 0
            assert answer.number(0x0120) == number
            arrived = server.peers[0].received[-1]
            assert arrived.command == sent.command
            assert arrived.data == sent.data, f"data set of {size} bytes"
        client.release()


@pytest.mark.parametrize("sizes", [[1], [3, 0, 1], [7, 4093, 1, 16378], [0, 16378]])
def test_odd_fragments_make_the_same_message(
    way: Way, cloud_ae: Ae, scripted: StartServer, sizes: list[int]
) -> None:
    server = scripted(target)
    sent = store_rq(9, "1.2.3.9", pattern(3000 if sizes == [1] else 50000))
    with open_store(way, cloud_ae) as client:
        client.send_message(sent, sizes=sizes)
        assert client.receive_message().status == 0
        client.release()
    assert server.peers[0].received == [sent]


def test_command_and_data_set_in_one_pdu(way: Way, cloud_ae: Ae, scripted: StartServer) -> None:
    server = scripted(target)
    sent = store_rq(2, "1.2.3.2", pattern(5000))
    with open_store(way, cloud_ae) as client:
        client.send(pdu(4, b"".join(pdvs(sent, [997]))))
        assert client.receive_message().status == 0
        client.release()
    assert server.peers[0].received == [sent]


def test_pdus_cut_at_every_tcp_segment_boundary(way: Way, cloud_ae: Ae, scripted: StartServer) -> None:
    server = scripted(target)
    sent = store_rq(2, "1.2.3.2", pattern(600))
    with open_store(way, cloud_ae) as client:
        for byte in p_data(sent, max_pdu=256):
            client.send(bytes((byte,)))
        assert client.receive_message().status == 0
        client.release()
    assert server.peers[0].received == [sent]


def test_five_hundred_objects_on_one_association_keep_their_order(
    way: Way, cloud_ae: Ae, scripted: StartServer
) -> None:
    server = scripted(target)
    digests = []
    with open_store(way, cloud_ae) as client:
        for number in range(500):
            size = (number * 977) % 90000
            sent = store_rq(number & 0xFFFF, f"1.2.3.{number}", pattern(size, number))
            assert sent.data is not None
            digests.append(hashlib.sha1(sent.data).digest())
            assert client.exchange(sent).number(0x0120) == number
        client.release()
    got = [hashlib.sha1(message.data or b"").digest() for message in server.peers[0].received]
    assert got == digests
