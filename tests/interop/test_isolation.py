"""Two clients and two targets with the same message ids never see each other's messages."""

from __future__ import annotations

from tests.support.conversation import both
from tests.support.files import pattern
from tests.support.mesh import Ae
from tests.support.scripted import Client, Server, ServerPeer
from tests.support.way import Way
from tests.support.wire import CT_STORAGE, Context, Tag, response, store_rq

OPERATIONS = 120


def target(peer: ServerPeer) -> None:
    """Answer each request with who asked, and what, so that the client can tell."""
    asked = peer.accept_association()
    who = (asked.called + asked.calling).decode()
    peer.serve(
        lambda message: (response(message, more={Tag.ERROR_COMMENT: f"{who} {len(message.data or b'')}"}),)
    )


def client(way: Way, ae: Ae, name: str, seed: int) -> None:
    """Send objects of sizes that only this client has, message ids that all have."""
    with Client.open(
        way.entry(ae), called=ae.title, calling=name, contexts=[Context(1, CT_STORAGE)], timeout=60
    ) as peer:
        who = f"{ae.title:16}{name:16}"
        for message_id in range(OPERATIONS):
            size = (message_id * 1013) % 70_000 + seed
            answer = peer.exchange(store_rq(message_id, "1.2.3", pattern(size, seed)))
            assert answer.number(Tag.RESPONDED_MESSAGE_ID) == message_id
            assert answer.text(Tag.ERROR_COMMENT) == f"{who} {size}"
        peer.release()


def test_same_message_ids_on_four_associations_at_once(way: Way) -> None:
    with (
        way.borrowed() as one,
        way.borrowed() as two,
        Server(target, port=one.port, timeout=60) as first,
        Server(target, port=two.port, timeout=60) as second,
    ):
        both(
            lambda: client(way, one, "FIRST", 1),
            lambda: client(way, one, "SECOND", 2),
            lambda: client(way, two, "FIRST", 3),
            lambda: client(way, two, "SECOND", 4),
        )
        for server in (first, second):
            server.join()
            assert [len(peer.received) for peer in server.peers] == [OPERATIONS, OPERATIONS]
