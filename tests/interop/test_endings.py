"""Abort, release and close from either side at any moment: the other side learns it, and nothing remains."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.interop.conftest import StartServer
from tests.interop.exchanges import CONTEXTS, FIND, store_of
from tests.support.conversation import Conversation, Side, conversations
from tests.support.files import pattern
from tests.support.mesh import Ae, Mesh
from tests.support.process import wait_until
from tests.support.scripted import Aborted, Client, Closed, Peer, Server, ServerPeer
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
)

STORE = store_of(400_000)


def open_sockets(mesh: Mesh) -> dict[str, int]:
    """Return how many sockets each endpoint process holds."""
    found = {}
    for name, pid in mesh.pids().items():
        if name.endswith(("/association", "/scu")):
            found[name] = sum(map(is_socket, Path(f"/proc/{pid}/fd").iterdir()))
    return found


def is_socket(file: Path) -> bool:
    """Tell whether an open file of a process is a socket; one that closes meanwhile is none any more."""
    try:
        return os.readlink(file).startswith("socket:")
    except FileNotFoundError:
        return False


def no_more_than(before: dict[str, int], now: dict[str, int]) -> bool:
    """Tell whether no process holds more sockets; those of an earlier test may have been closing before."""
    return all(count <= before[name] for name, count in now.items())


@pytest.fixture
def nothing_remains(way: Way) -> Iterator[None]:
    """Check that the endpoints hold no more sockets afterwards than before."""
    if way.mesh is None:
        yield
        return
    mesh = way.mesh
    before = open_sockets(mesh)
    yield
    wait_until(lambda: no_more_than(before, open_sockets(mesh)), "sockets are closed")


Moment = Callable[[Client, ServerPeer], None]


def idle(_client: Client, _target: ServerPeer) -> None:
    """Nothing has happened since the association was accepted."""


def in_the_data_set(client: Client, _target: ServerPeer) -> None:
    """Half of a C-STORE has been sent."""
    whole = p_data(STORE, max_pdu=16384)
    client.send(whole[: 12 * 16390 + len(p_data(Message(1, STORE.command)))])


def waiting_for_the_response(client: Client, target: ServerPeer) -> None:
    """The target has the whole C-STORE and has said nothing yet."""
    client.send_message(STORE)
    target.receive_message()


def among_pending_responses(client: Client, target: ServerPeer) -> None:
    """Two responses of a C-FIND have arrived, more are on their way."""
    client.send_message(FIND)
    asked = target.receive_message()
    for number in range(20):
        target.send_message(response(asked, 0xFF00, data=pattern(1000, number)))
    client.receive_message()
    client.receive_message()


def among_sub_operations(_client: Client, target: ServerPeer) -> None:
    """The target has sent half a C-STORE of its own."""
    whole = p_data(STORE, max_pdu=16384)
    target.send(whole[: len(p_data(Message(1, STORE.command))) + 5 * 16390])


MOMENTS = (idle, in_the_data_set, waiting_for_the_response, among_pending_responses, among_sub_operations)


def last_word(peer: Peer) -> Pdu | Closed:
    """Return what ends the association for `peer`, messages left aside."""
    try:
        while isinstance(received := peer.receive(), Message):
            pass
    except Closed as closed:
        return closed
    return received


@pytest.mark.usefixtures("nothing_remains")
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("how", ["abort", "close", "reset"])
def test_the_other_side_learns_of_the_end(
    way: Way, cloud_ae: Ae, *, moment: Moment, side: Side, how: str
) -> None:
    ready, over = threading.Event(), threading.Event()

    def script(peer: ServerPeer) -> None:
        peer.accept_association(extra=role_selection(CT_STORAGE, scu=1, scp=1))
        ready.set()
        assert over.wait(30)

    extra = role_selection(CT_STORAGE, scu=1, scp=1)
    with (
        Server(script, port=cloud_ae.port) as server,
        Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=CONTEXTS, extra=extra) as client,
    ):
        try:
            assert ready.wait(20)
            (target,) = server.peers
            moment(client, target)
            ending, other = (client, target) if side is Side.CLIENT else (target, client)
            if how == "abort":
                ending.send(abort(0, 0))
            elif how == "close":
                ending.close()
            else:
                ending.reset()
            word = last_word(other)
        finally:
            over.set()
    if how == "abort":
        # Service user, as it was sent.
        assert isinstance(word, Pdu)
        assert (word.kind, word.body[2:4]) == (PduType.ABORT, b"\0\0")
    else:
        assert isinstance(word, Closed)


@pytest.mark.usefixtures("nothing_remains")
@pytest.mark.parametrize("side", list(Side))
def test_release_by_either_side_passes_and_is_answered_by_the_other(
    way: Way, cloud_ae: Ae, scripted: StartServer, side: Side
) -> None:
    ready, over = threading.Event(), threading.Event()

    def script(peer: ServerPeer) -> None:
        peer.accept_association()
        ready.set()
        assert over.wait(30)

    server = scripted(script)
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=CONTEXTS) as client:
        try:
            assert ready.wait(20)
            (target,) = server.peers
            waiting_for_the_response(client, target)
            target.send_message(response(target.received[0]))
            client.receive_message()
            asking, answering = (client, target) if side is Side.CLIENT else (target, client)
            asking.send(RELEASE_RQ_PDU)
            got = answering.receive()
            assert isinstance(got, Pdu)
            assert got.kind == PduType.RELEASE_RQ
            answering.send(RELEASE_RP_PDU)
            answer = asking.receive()
            assert isinstance(answer, Pdu)
            assert answer.kind == PduType.RELEASE_RP
        finally:
            over.set()


@pytest.mark.usefixtures("nothing_remains")
def test_release_waits_for_all_messages_before_it(way: Way, cloud_ae: Ae, scripted: StartServer) -> None:
    """A client may ask for release with a response outstanding; its request is whole at the target before."""
    ends: list[Message | Pdu] = []

    def script(peer: ServerPeer) -> None:
        peer.accept_association()
        ends.extend((peer.receive(), peer.receive()))
        peer.send(RELEASE_RP_PDU)

    server = scripted(script)
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=CONTEXTS) as client:
        client.send_message(STORE)
        client.send(RELEASE_RQ_PDU)
        answer = client.receive()
        assert isinstance(answer, Pdu)
        assert answer.kind == PduType.RELEASE_RP
    server.join()
    assert ends[0] == STORE
    assert isinstance(ends[1], Pdu)
    assert ends[1].kind == PduType.RELEASE_RQ


@pytest.mark.usefixtures("nothing_remains")
def test_what_follows_a_release_request_does_not_show(way: Way, cloud_ae: Ae) -> None:
    """The target answers at once, and ignores it: through the mesh the answer is only longer on its way."""

    def script(peer: ServerPeer) -> None:
        peer.accept_association()
        got = peer.receive()
        assert isinstance(got, Pdu)
        assert got.kind == PduType.RELEASE_RQ
        peer.send(RELEASE_RP_PDU)
        while not isinstance(last_word(peer), Closed):
            pass

    for _ in range(20):
        with (
            Server(script, port=cloud_ae.port) as server,
            Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=CONTEXTS) as client,
        ):
            client.send(RELEASE_RQ_PDU)
            client.send(RELEASE_RQ_PDU)
            client.send(p_data(STORE) + RELEASE_RQ_PDU)
            answer = client.receive()
            assert isinstance(answer, Pdu)
            assert answer.kind == PduType.RELEASE_RP
            client.close()
            server.join()


@given(
    conversation=conversations(), share=st.floats(0, 1), side=st.sampled_from(list(Side)), how=st.booleans()
)
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_an_end_at_any_step_of_any_conversation_reaches_the_other_side(
    way: Way, conversation: Conversation, share: float, side: Side, *, how: bool
) -> None:
    """`how`: with A-ABORT, or without a word."""
    cut = int(len(conversation.steps) * share)
    part = Conversation(
        conversation.contexts, conversation.client_max, conversation.target_max, conversation.steps[:cut]
    )
    extra = asynchronous_window(0, 0) + b"".join(
        role_selection(uid, scu=1, scp=1) for uid in sorted({context.abstract for context in part.contexts})
    )
    words: list[Pdu | Closed] = []

    def end(peer: Peer) -> None:
        if how:
            peer.send(abort(0, 0))
        peer.close()

    def script(peer: ServerPeer) -> None:
        peer.accept_association(max_length=part.target_max, extra=extra)
        try:
            part.play(Side.TARGET, peer)
        except (Aborted, Closed):
            return
        if side is Side.TARGET:
            end(peer)
        else:
            words.append(last_word(peer))

    with (
        way.borrowed() as ae,
        Server(script, port=ae.port) as server,
        Client.open(
            way.entry(ae), called=ae.title, contexts=part.contexts, max_length=part.client_max, extra=extra
        ) as client,
    ):
        try:
            part.play(Side.CLIENT, client)
        except (Aborted, Closed):
            assert side is Side.TARGET
            return
        if side is Side.CLIENT:
            end(client)
        else:
            words.append(last_word(client))
        server.join()
    for word in words:
        if how:
            assert isinstance(word, Pdu)
            assert word.kind == PduType.ABORT
        else:
            assert isinstance(word, Closed)


def test_nothing_remains_after_hundreds_of_broken_associations(way: Way, cloud_ae: Ae) -> None:
    mesh = way.need_mesh()
    before = open_sockets(mesh)

    def script(peer: ServerPeer) -> None:
        peer.accept_association()
        last_word(peer)

    server = Server(script, port=cloud_ae.port)
    for number in range(200):
        with Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=CONTEXTS) as client:
            if number % 2:
                in_the_data_set(client, server.peers[-1])
            if number % 3:
                client.reset()
    server.join()
    server.stop(check=False)
    wait_until(lambda: no_more_than(before, open_sockets(mesh)), "every socket is closed")
