"""A 2 GB object streams through: same digest, and no process grows by 64 MB."""

from __future__ import annotations

import hashlib
import struct
import threading
from collections.abc import Iterator

from tests.interop.conftest import StartServer
from tests.support.mesh import Ae
from tests.support.process import reset_peak
from tests.support.scripted import Client, ServerPeer
from tests.support.way import Way
from tests.support.wire import CT_STORAGE, Context, Message, p_data_in_pieces, pdu, response, store_rq
from tests.support.wire import pdv as make_pdv

MIB = 1 << 20
PDU_LENGTH = 128 * 1024
PIECE = PDU_LENGTH - 6
PIECES = 2 * 1024 * MIB // PIECE + 1
BLOCK = bytes(range(256)) * (PIECE // 256 + 1)


def piece(number: int) -> bytes:
    """Return fragment `number` of the object, which never exists as a whole."""
    return struct.pack(">Q", number) + BLOCK[8:PIECE]


def send_object(client: Client, digests: list[bytes]) -> None:
    digest = hashlib.sha1()

    def fragments() -> Iterator[bytes]:
        for number in range(PIECES):
            fragment = piece(number)
            digest.update(fragment)
            yield fragment

    for data in p_data_in_pieces(store_rq(1, "1.2.3", b""), fragments()):
        client.send(data)
    digests.append(digest.digest())


def receive_object(peer: ServerPeer) -> tuple[bytes, int, Message]:
    """Return digest and length of the data set that arrives, and its command, holding one PDU at a time."""
    digest = hashlib.sha1()
    asked: Message | None = None
    length = 0
    while True:
        body = memoryview(peer.read_pdu().body)
        while body:
            size, context_id, flags = struct.unpack_from(">IBB", body)
            fragment = body[6 : 4 + size]
            body = body[4 + size :]
            if flags & 1:
                assert flags & 2
                asked = Message(context_id, bytes(fragment))
                continue
            digest.update(fragment)
            length += len(fragment)
            if flags & 2:
                assert asked is not None
                return digest.digest(), length, asked


def test_two_gigabytes_pass_with_bounded_memory(way: Way, cloud_ae: Ae, scripted: StartServer) -> None:
    got: list[tuple[bytes, int]] = []

    def target(peer: ServerPeer) -> None:
        peer.accept_association(max_length=PDU_LENGTH)
        digest, length, asked = receive_object(peer)
        got.append((digest, length))
        peer.send_message(response(asked))
        peer.receive()
        peer.send(pdu(6, bytes(4)))

    server = scripted(target)
    client = Client.open(
        way.entry(cloud_ae), called=cloud_ae.title, contexts=[Context(1, CT_STORAGE)], timeout=120
    )
    with client:
        if way.mesh is not None:
            for pid in way.mesh.pids().values():
                reset_peak(pid)
        before = way.mesh.memory() if way.mesh is not None else {}
        digests: list[bytes] = []
        sender = threading.Thread(target=send_object, args=(client, digests))
        sender.start()
        answer = client.receive_message()
        sender.join()
        peaks = way.mesh.memory(peak=True) if way.mesh is not None else {}
        client.release()
    server.join()
    assert answer.status == 0
    assert got == [(digests[0], PIECES * PIECE)]
    grown = {name: (peaks[name] - size) // MIB for name, size in before.items() if name in peaks}
    services = {name: growth for name, growth in grown.items() if name != "nats-server"}
    assert all(growth < 64 for growth in services.values()), f"MiB grown by process: {grown}"
    if way.mesh is not None:
        assert len(services) >= 10, f"not every service was measured: {sorted(grown)}"


def send_until_held_back(client: Client, pieces: int) -> tuple[int, bytes]:
    """Send fragments until the socket takes no more; return how many, and what is left of the last."""
    client.sock.settimeout(2)
    for number in range(pieces):
        fragment = make_pdv(1, is_command=False, is_last=number == pieces - 1, fragment=piece(number))
        left = pdu(4, fragment)
        while left:
            try:
                left = left[client.sock.send(left) :]
            except TimeoutError:
                client.sock.settimeout(60)
                return number + 1, left
    raise AssertionError("the client was never held back")


def test_target_that_stops_reading_holds_the_client_back(
    way: Way, cloud_ae: Ae, scripted: StartServer
) -> None:
    resume = threading.Event()
    got: list[tuple[bytes, int]] = []

    def target(peer: ServerPeer) -> None:
        peer.accept_association(max_length=PDU_LENGTH)
        assert resume.wait(60)
        digest, length, asked = receive_object(peer)
        got.append((digest, length))
        peer.send_message(response(asked))
        peer.receive()
        peer.send(pdu(6, bytes(4)))

    server = scripted(target)
    pieces = 600
    client = Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=[Context(1, CT_STORAGE)])
    with client:
        before = way.mesh.memory() if way.mesh is not None else {}
        asked = store_rq(1, "1.2.3", b"")
        client.send(pdu(4, make_pdv(1, is_command=True, is_last=True, fragment=asked.command)))
        try:
            sent, left = send_until_held_back(client, pieces)
            after = way.mesh.memory() if way.mesh is not None else {}
        finally:
            resume.set()
        client.send(left)
        for number in range(sent, pieces):
            last = number == pieces - 1
            client.send(pdu(4, make_pdv(1, is_command=False, is_last=last, fragment=piece(number))))
        assert client.receive_message().status == 0
        client.release()
    server.join()
    digest = hashlib.sha1()
    for number in range(pieces):
        digest.update(piece(number))
    assert got == [(digest.digest(), pieces * PIECE)]
    grown = {name: (after[name] - size) // MIB for name, size in before.items() if name in after}
    assert all(growth < 64 for growth in grown.values()), f"MiB grown by process: {grown}"
