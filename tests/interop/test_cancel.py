"""C-CANCEL reaches the target at once, however many responses are on their way."""

from __future__ import annotations

import threading
import time

import pytest

from tests.bench.raw_peer import identifier
from tests.interop.conftest import StartServer
from tests.support.mesh import Ae
from tests.support.scripted import Client, ServerPeer
from tests.support.stalls import Stalls
from tests.support.way import Way
from tests.support.wire import (
    IMPLICIT_LE,
    RELEASE_RP_PDU,
    STUDY_ROOT_FIND,
    Command,
    Context,
    Message,
    Status,
    Tag,
    cancel_rq,
    p_data,
    request,
    response,
)

RESPONSES = 10_000
BATCH = 100


class Finder:
    """A target that answers C-FIND with up to 10,000 responses and stops when it is told to."""

    def __init__(self) -> None:
        self.cancelled_at = 0.0
        self.sent = 0
        self.cancel: Message | None = None

    def __call__(self, peer: ServerPeer) -> None:
        peer.accept_association()
        asked = peer.receive_message()
        over = threading.Event()
        sender = threading.Thread(target=self.send, args=(peer, asked, over))
        sender.start()
        self.cancel = peer.receive_message()
        self.cancelled_at = time.monotonic()
        over.set()
        sender.join()
        peer.send_message(response(asked, Status.CANCELLED, more={Tag.REMAINING: RESPONSES - self.sent}))
        peer.receive()
        peer.send(RELEASE_RP_PDU)

    def send(self, peer: ServerPeer, asked: Message, over: threading.Event) -> None:
        """Send batches of pending responses until there are no more, or `over`."""
        for start in range(0, RESPONSES, BATCH):
            if over.is_set():
                return
            numbers = range(start, start + BATCH)
            peer.send(
                b"".join(
                    p_data(response(asked, Status.PENDING, data=identifier(number))) for number in numbers
                )
            )
            self.sent += BATCH


@pytest.mark.parametrize("message_id", [1, 65535])
def test_cancel_after_the_third_response_is_seen_within_100_ms(
    way: Way, cloud_ae: Ae, scripted: StartServer, stalls: Stalls, message_id: int
) -> None:
    finder = Finder()
    server = scripted(finder)
    contexts = [Context(1, STUDY_ROOT_FIND, (IMPLICIT_LE,))]
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=contexts) as client:
        asked = request(
            Command.C_FIND, message_id, STUDY_ROOT_FIND, data=identifier(0), more={Tag.PRIORITY: 0}
        )
        client.send_message(asked)
        for number in range(3):
            assert client.receive_message().data == identifier(number)
        cancel = cancel_rq(message_id)
        cancelled = time.monotonic()
        client.send_message(cancel)
        received = 3
        while (answer := client.receive_message()).status == Status.PENDING:
            assert answer.data == identifier(received)
            received += 1
        client.release()
    server.join()
    assert finder.cancel == cancel
    assert answer.status == Status.CANCELLED
    assert received == finder.sent, "a response was lost before the final one"
    assert finder.sent < RESPONSES, "the cancel did not overtake the responses"
    assert stalls.moved(cancelled, finder.cancelled_at) < 0.1


def test_client_that_reads_slowly_holds_the_target_back_and_can_still_cancel(
    way: Way, cloud_ae: Ae, scripted: StartServer, stalls: Stalls
) -> None:
    size = 65_536
    total = 1500
    finder = SlowFinder(size, total)
    server = scripted(finder)
    contexts = [Context(1, STUDY_ROOT_FIND, (IMPLICIT_LE,))]
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=contexts) as client:
        before = way.mesh.memory() if way.mesh is not None else {}
        client.send_message(request(Command.C_FIND, 5, STUDY_ROOT_FIND, data=b"", more={Tag.PRIORITY: 0}))
        client.receive_message()
        assert finder.held_back.wait(20), "the target was never held back"
        after = way.mesh.memory() if way.mesh is not None else {}
        cancelled = time.monotonic()
        client.send_message(cancel_rq(5))
        assert finder.cancelled.wait(20)
        assert stalls.moved(cancelled) < 0.5
        received = 1
        while client.receive_message().status == Status.PENDING:
            received += 1
        client.release()
    server.join()
    assert received == finder.sent < total
    grown = {name: (after[name] - at_first) >> 20 for name, at_first in before.items() if name in after}
    assert all(growth < 64 for growth in grown.values()), f"MiB grown by process: {grown}"


class SlowFinder:
    """A target with large responses; it notes when it can't send any more."""

    def __init__(self, size: int, total: int) -> None:
        self.size = size
        self.total = total
        self.sent = 0
        self.held_back = threading.Event()
        self.cancelled = threading.Event()

    def __call__(self, peer: ServerPeer) -> None:
        peer.accept_association()
        asked = peer.receive_message()
        one = p_data(response(asked, Status.PENDING, data=bytes(self.size)))
        sender = threading.Thread(target=self.send, args=(peer, one))
        sender.start()
        assert peer.receive_message().field == Command.C_CANCEL
        self.cancelled.set()
        sender.join()
        peer.send_message(response(asked, Status.CANCELLED))
        peer.receive()
        peer.send(RELEASE_RP_PDU)

    def send(self, peer: ServerPeer, one: bytes) -> None:
        """Send whole responses until cancelled; a send that waits for a second is being held back."""
        watch: threading.Timer | None = None
        while not self.cancelled.is_set() and self.sent < self.total:
            watch = threading.Timer(1.0, self.held_back.set)
            watch.start()
            peer.send(one)
            watch.cancel()
            self.sent += 1
