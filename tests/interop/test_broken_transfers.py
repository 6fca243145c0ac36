"""Clients and targets that go away, and bytes that are not DICOM: contained, told, nothing half stored."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from tests.interop.conftest import StartServer
from tests.support import dcmtk
from tests.support.files import pattern, synthetic
from tests.support.mesh import Ae
from tests.support.process import wait_until
from tests.support.scripted import Aborted, Client, Closed, ServerPeer, success
from tests.support.way import Way
from tests.support.wire import (
    CT_STORAGE,
    Context,
    Message,
    PduType,
    abort,
    associate_rq,
    fragments,
    p_data,
    pdu,
    store_rq,
)


def half_sent(way: Way, ae: Ae, size: int) -> Client:
    """Open an association and send half of a C-STORE of `size` bytes."""
    client = Client.open(way.entry(ae), called=ae.title, contexts=[Context(1, CT_STORAGE)])
    client.send(some_pdus(store_rq(1, "1.2.3", pattern(size)), 0.5))
    return client


def some_pdus(message: Message, share: float) -> bytes:
    """Return the first PDUs of `message`: this share of them."""
    whole = list(fragments(message, [16378]))
    return b"".join(pdu(4, value) for value in whole[: max(2, int(len(whole) * share))])


@pytest.mark.parametrize("size", [40_000, 5_000_000])
def test_client_that_aborts_in_mid_transfer_aborts_the_target(
    way: Way, cloud_ae: Ae, scripted: StartServer, size: int
) -> None:
    ends: list[object] = []

    def target(peer: ServerPeer) -> None:
        peer.accept_association()
        ends.append(peer.receive())

    server = scripted(target)
    with half_sent(way, cloud_ae, size) as client:
        client.send(abort(0, 0))
        server.join()
    (end,) = ends
    assert getattr(end, "kind", None) == PduType.ABORT
    assert server.peers[0].received == []


@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_that_vanishes_in_mid_transfer_closes_the_target(
    way: Way, cloud_ae: Ae, scripted: StartServer, how: str
) -> None:
    closed = threading.Event()

    def target(peer: ServerPeer) -> None:
        peer.accept_association()
        with pytest.raises(Closed):
            peer.receive()
        closed.set()

    server = scripted(target)
    client = half_sent(way, cloud_ae, 5_000_000)
    client.close() if how == "close" else client.reset()
    server.join()
    assert closed.is_set()


def test_target_that_aborts_in_mid_transfer_aborts_the_client(
    way: Way, cloud_ae: Ae, scripted: StartServer
) -> None:
    def target(peer: ServerPeer) -> None:
        peer.accept_association()
        peer.read_pdu()
        peer.send(abort(2, 6))

    scripted(target)
    with half_sent(way, cloud_ae, 200_000) as client, pytest.raises(Aborted) as caught:
        client.receive_message()
    assert (caught.value.source, caught.value.reason) == (2, 6)


def test_target_that_vanishes_closes_the_client(way: Way, cloud_ae: Ae, scripted: StartServer) -> None:
    way.need_mesh()

    def target(peer: ServerPeer) -> None:
        peer.accept_association()
        peer.read_pdu()
        peer.reset()

    scripted(target)
    with half_sent(way, cloud_ae, 200_000) as client, pytest.raises(Closed):
        client.receive_message()


def test_aborted_transfer_leaves_nothing_stored_at_storescp(way: Way, cloud_ae: Ae, received: Path) -> None:
    child, _ = dcmtk.storescp(received, port=cloud_ae.port, level="-d")
    whole = synthetic(1, 4_000_000)
    with child:
        sent = some_pdus(store_rq(1, whole.sop_instance, whole.data), 0.75)
        with Client.open(
            way.entry(cloud_ae), called=cloud_ae.title, contexts=[Context(1, CT_STORAGE)]
        ) as client:
            client.send(sent)
            client.send(abort())
            child.wait_for_line("Association Aborted|Peer aborted")
        # DCMTK opens the file when the transfer begins and removes it when it fails.
        wait_until(lambda: list(received.iterdir()) == [], "the partial file is removed")


def test_one_broken_association_leaves_others_alone(way: Way, cloud_ae: Ae, scripted: StartServer) -> None:
    def target(peer: ServerPeer) -> None:
        peer.accept_association()
        peer.serve(success)

    server = scripted(target)
    contexts = [Context(1, CT_STORAGE)]
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=contexts) as healthy:
        for _ in range(5):
            half_sent(way, cloud_ae, 2_000_000).reset()
        for number in range(1, 6):
            assert healthy.exchange(store_rq(number, f"1.2.{number}", pattern(100_000))).status == 0
        healthy.release()
    server.stop(check=False)


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n",
    "tls hello": bytes.fromhex("1603010200010001fc0303") + bytes(500),
    "zeros": bytes(1024),
    "huge length": b"\x01\x00\xff\xff\xff\xff" + bytes(64),
    "release before association": pdu(5, bytes(4)),
    "data before association": pdu(4, bytes(100)),
    "associate with a cut item": associate_rq(called="X")[:-20],
    "empty associate": pdu(1, b""),
    "wrong protocol version": pdu(1, b"\0\0" + associate_rq(called="X")[8:]),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_answered_by_an_abort_reject_or_close(way: Way, kind: str) -> None:
    mesh = way.need_mesh()
    with Client.connect(mesh.listeners["hospital"]) as client:
        client.send(GARBAGE[kind])
        client.sock.shutdown(socket.SHUT_WR)
        try:
            answer = client.read_pdu()
            assert answer.kind in {PduType.ABORT, PduType.ASSOCIATE_RJ}
        except Closed:
            pass
    assert "Traceback" not in mesh.child.output


BAD_P_DATA = {
    "unknown context": p_data(store_rq(1, "1.2", b"xx", context_id=9)),
    "pdv longer than its pdu": pdu(4, b"\0\0\xff\xff\x01\x03" + bytes(20)),
    "pdv of one byte": pdu(4, b"\0\0\0\x01\x01"),
    "data set without command": pdu(4, b"\0\0\0\x06\x01\x02abcd"),
    "command that is no command": pdu(4, b"\0\0\0\x06\x01\x03abcd"),
    "pdu longer than allowed": b"\x04\x00\x7f\xff\xff\xff" + bytes(4096),
    "unknown pdu type": pdu(0x44, bytes(8)),
    "second associate": associate_rq(called="X"),
}


@pytest.mark.parametrize("kind", BAD_P_DATA)
def test_broken_message_aborts_its_association_and_the_target(
    way: Way, cloud_ae: Ae, scripted: StartServer, kind: str
) -> None:
    mesh = way.need_mesh()
    ends: list[object] = []

    def target(peer: ServerPeer) -> None:
        peer.accept_association()
        ends.append(peer.receive())

    server = scripted(target)
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=[Context(1, CT_STORAGE)]) as client:
        client.send(BAD_P_DATA[kind])
        with pytest.raises((Aborted, Closed)):
            client.receive_message()
    server.join()
    assert [getattr(end, "kind", None) for end in ends] == [PduType.ABORT]
    assert "Traceback" not in mesh.child.output
