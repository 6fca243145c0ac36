"""Linked negotiation: what the client gets is what the target said."""

from __future__ import annotations

import itertools

import pytest

from tests.interop.conftest import ODD_TITLES, StartServer
from tests.support.mesh import Ae
from tests.support.scripted import Aborted, Client, Rejected, Server, ServerPeer, accept_and_serve
from tests.support.way import Way
from tests.support.wire import (
    CT_STORAGE,
    EXPLICIT_LE,
    IMPLICIT_LE,
    VERIFICATION,
    Associate,
    Command,
    Context,
    ContextResult,
    abort,
    associate_ac,
    associate_rj,
    asynchronous_window,
    item,
    request,
    response,
    role_selection,
)

PRIVATE = "1.2.826.0.1.3680043.9.9999.77"
JPEG = "1.2.840.10008.1.2.4.50"
OURS = {0x51, 0x52, 0x55}
"""User information that each node says for itself: maximum length, implementation class UID and version."""


def test_results_and_transfer_syntaxes_are_the_targets(way: Way, cloud_ae: Ae, scripted: StartServer) -> None:
    proposed = [
        Context(1, CT_STORAGE, (EXPLICIT_LE, IMPLICIT_LE)),
        Context(3, CT_STORAGE, (JPEG,)),
        Context(5, PRIVATE, (IMPLICIT_LE, f"{PRIVATE}.1")),
        Context(7, VERIFICATION, (IMPLICIT_LE,)),
        Context(251, CT_STORAGE, (EXPLICIT_LE,)),
    ]
    answers = [
        ContextResult(1, 0, IMPLICIT_LE),
        ContextResult(3, 4, JPEG),
        ContextResult(5, 0, f"{PRIVATE}.1"),
        ContextResult(7, 3, IMPLICIT_LE),
        ContextResult(251, 1, EXPLICIT_LE),
    ]

    def target(peer: ServerPeer) -> None:
        asked = peer.accept_association(answers)
        assert list(asked.contexts) == proposed
        peer.serve(lambda _: ())

    scripted(target)
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=proposed) as client:
        assert client.accept is not None
        got = list(client.accept.results)
        # PS3.8 §9.3.3.2: the transfer syntax of a refused context is not significant.
        accepted = [answer if answer.result == 0 else (answer.id, answer.result) for answer in got]
        assert accepted == [
            answer if answer.result == 0 else (answer.id, answer.result) for answer in answers
        ]
        client.release()


def test_titles_pass_as_the_sixteen_bytes_sent(way: Way, cloud_ae: Ae, scripted: StartServer) -> None:
    server = scripted()
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title, calling="  Lead.Space a ") as client:
        client.release()
    (peer,) = server.wait_for_peers(1)
    assert peer.request is not None
    assert peer.request.called.decode().strip() == cloud_ae.title
    assert peer.request.calling.decode().strip() == "Lead.Space a"


@pytest.mark.parametrize("title", ODD_TITLES)
def test_titles_with_spaces_dots_and_wildcards_are_addresses(way: Way, title: str) -> None:
    ae = way.aes[title]
    with Server(port=ae.port) as server:
        with Client.open(way.entry(ae), called=title, calling="X.Y * > Z. 16 CH") as client:
            assert client.echo() == 0
            client.release()
        (peer,) = server.peers
        assert peer.request is not None
        assert peer.request.called == title.encode().ljust(16)
        assert peer.request.calling == b"X.Y * > Z. 16 CH"


def test_127_contexts_with_three_syntaxes_each(way: Way, cloud_ae: Ae, scripted: StartServer) -> None:
    # PS3.8 §9.3.2.2: odd identifiers from 1 to 255; 127 of them leave one to spare.
    proposed = [
        Context(2 * index + 1, f"{PRIVATE}.{index}", (IMPLICIT_LE, EXPLICIT_LE, JPEG)) for index in range(127)
    ]
    results = [
        ContextResult(context.id, 0 if index % 2 else 3, context.transfers[index % 3])
        for index, context in enumerate(proposed)
    ]

    def target(peer: ServerPeer) -> None:
        assert list(peer.accept_association(results).contexts) == proposed
        peer.serve(lambda _: ())

    scripted(target)
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=proposed) as client:
        assert client.accept is not None
        assert [(answer.id, answer.result) for answer in client.accept.results] == [
            (answer.id, answer.result) for answer in results
        ]
        assert [answer for answer in client.accept.results if answer.result == 0] == [
            answer for answer in results if answer.result == 0
        ]
        client.release()


def test_user_information_passes_both_ways_unknown_items_too(
    way: Way, cloud_ae: Ae, scripted: StartServer
) -> None:
    uid = CT_STORAGE.encode()
    asked_items = [
        (0x53, asynchronous_window(3, 2)[4:]),
        (0x54, role_selection(CT_STORAGE, scu=1, scp=1)[4:]),
        (0x56, len(uid).to_bytes(2, "big") + uid + b"\x01\x02\x03"),
        (0x57, len(uid).to_bytes(2, "big") + uid + b"\0\x02\x31\x32\0\0"),
        (0x58, b"\x02\x01\0\x04user\0\x06secret"),
        (0x7A, b"unknown sub-item"),
    ]
    answered_items = [
        (0x53, asynchronous_window(2, 1)[4:]),
        (0x54, role_selection(CT_STORAGE, scu=0, scp=1)[4:]),
        (0x56, len(uid).to_bytes(2, "big") + uid + b"\x03\x02"),
        (0x59, b"\0\x05token"),
        (0x7B, b"another unknown one"),
    ]
    seen: list[tuple[int, bytes]] = []

    def target(peer: ServerPeer) -> None:
        asked = peer.read_request()
        seen.extend(asked.user_items)
        peer.request = None
        peer.sock.sendall(_accept(asked, answered_items))
        peer.serve(lambda _: ())

    scripted(target)
    with Client.open(
        way.entry(cloud_ae),
        called=cloud_ae.title,
        contexts=[Context(1, CT_STORAGE)],
        extra=b"".join(item(kind, body) for kind, body in asked_items),
    ) as client:
        assert client.accept is not None
        assert [pair for pair in client.accept.user_items if pair[0] not in OURS] == answered_items
        client.release()
    assert [pair for pair in seen if pair[0] not in OURS] == asked_items


def _accept(asked: Associate, items: list[tuple[int, bytes]]) -> bytes:
    return associate_ac(asked, extra=b"".join(item(kind, body) for kind, body in items))


@pytest.mark.parametrize(
    "triple",
    [
        (1, 1, 1),
        (1, 1, 2),
        (1, 1, 3),
        (1, 1, 7),
        (2, 1, 1),
        (1, 2, 1),
        (1, 2, 2),
        (2, 3, 1),
        (2, 3, 2),
        (1, 1, 10),
    ],
)
def test_reject_comes_through_with_result_source_and_reason(
    way: Way, cloud_ae: Ae, scripted: StartServer, triple: tuple[int, int, int]
) -> None:
    def target(peer: ServerPeer) -> None:
        peer.read_request()
        peer.send(associate_rj(*triple))

    scripted(target)
    with pytest.raises(Rejected) as caught:
        Client.open(way.entry(cloud_ae), called=cloud_ae.title)
    assert caught.value.triple == triple


def test_abort_instead_of_an_answer_comes_through(way: Way, cloud_ae: Ae, scripted: StartServer) -> None:
    def target(peer: ServerPeer) -> None:
        peer.read_request()
        peer.send(abort(2, 1))

    scripted(target)
    with pytest.raises(Aborted) as caught:
        Client.open(way.entry(cloud_ae), called=cloud_ae.title)
    assert (caught.value.source, caught.value.reason) == (2, 1)


@pytest.mark.parametrize(("client_max", "target_max"), list(itertools.product((4096, 16384, 0), repeat=2)))
def test_each_side_keeps_to_the_maximum_length_of_its_peer(
    way: Way, cloud_ae: Ae, scripted: StartServer, client_max: int, target_max: int
) -> None:
    data = bytes(range(256)) * 2000

    def target(peer: ServerPeer) -> None:
        peer.accept_association(max_length=target_max)
        peer.serve(lambda message: (response(message, 0, data=message.data),))

    server = scripted(target)
    with Client.open(
        way.entry(cloud_ae), called=cloud_ae.title, contexts=[Context(1, PRIVATE)], max_length=client_max
    ) as client:
        asked = request(Command.N_ACTION, 7, PRIVATE, data=data)
        assert client.exchange(asked).data == data
        client.release()
    server.join()
    (peer,) = server.peers
    assert peer.received[0].data == data
    assert not target_max or peer.pdv_limit <= target_max
    assert not client_max or client.pdv_limit <= client_max


def test_many_clients_at_once_each_have_their_own_association(
    way: Way, cloud_ae: Ae, scripted: StartServer
) -> None:
    server = scripted(accept_and_serve)
    clients = [
        Client.open(way.entry(cloud_ae), called=cloud_ae.title, calling=f"CLIENT{number}")
        for number in range(20)
    ]
    for client in clients:
        assert client.echo(4711) == 0
    for client in clients:
        client.release()
    server.join()
    calling = {peer.request.calling.decode().strip() for peer in server.peers if peer.request is not None}
    assert calling == {f"CLIENT{number}" for number in range(20)}
