"""What comes out is what went in: random DIMSE conversations, message for message, byte for byte."""

from __future__ import annotations

import threading

from hypothesis import HealthCheck, given, settings

from tests.support.conversation import Conversation, Side, both, conversations
from tests.support.mesh import Ae
from tests.support.scripted import Client, Server, ServerPeer
from tests.support.way import Way
from tests.support.wire import RELEASE_RP_PDU, Pdu, PduType, asynchronous_window, role_selection


def converse(way: Way, ae: Ae, conversation: Conversation) -> None:
    """Play a conversation over one association and compare both ends."""
    extra = asynchronous_window(0, 0) + b"".join(
        role_selection(uid, scu=1, scp=1)
        for uid in sorted({context.abstract for context in conversation.contexts})
    )
    targets: list[ServerPeer] = []
    over = threading.Event()

    def target(peer: ServerPeer) -> None:
        targets.append(peer)
        peer.accept_association(max_length=conversation.target_max, extra=extra)
        try:
            conversation.play(Side.TARGET, peer)
        finally:
            over.set()
        end = peer.receive()
        assert isinstance(end, Pdu), f"one message too many: {end}"
        assert end.kind == PduType.RELEASE_RQ
        peer.send(RELEASE_RP_PDU)

    with (
        Server(target, port=ae.port) as server,
        Client.open(
            way.entry(ae),
            called=ae.title,
            contexts=conversation.contexts,
            max_length=conversation.client_max,
            extra=extra,
        ) as client,
    ):
        conversation.play(Side.CLIENT, client)
        assert over.wait(20), "the target still waits for messages"
        client.release()
        server.join()
    (peer,) = targets
    assert peer.received == conversation.sent_by(Side.CLIENT)
    assert client.received == conversation.sent_by(Side.TARGET)
    assert not conversation.target_max or peer.pdv_limit <= conversation.target_max
    assert not conversation.client_max or client.pdv_limit <= conversation.client_max


@given(conversation=conversations())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_random_conversations_pass_unchanged(way: Way, conversation: Conversation) -> None:
    with way.borrowed() as ae:
        converse(way, ae, conversation)


@given(first=conversations(), second=conversations())
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_two_conversations_at_once_never_see_each_other(
    way: Way, first: Conversation, second: Conversation
) -> None:
    with way.borrowed() as one, way.borrowed() as other:
        both(lambda: converse(way, one, first), lambda: converse(way, other, second))


@given(conversation=conversations())
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_conversations_pass_unchanged_in_the_other_direction_too(
    way: Way, conversation: Conversation
) -> None:
    with way.borrowed("hospital") as ae:
        converse(way, ae, conversation)
