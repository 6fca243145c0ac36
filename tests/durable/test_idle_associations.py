"""Destinations that end an association on which nothing is sent: the next object isn't to blame for that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.durable.operator import dead_letters, queue
from tests.durable.site import ARCHIVE, Inbox, Site, site, store
from tests.support.files import synthetic
from tests.support.scripted import ServerPeer
from tests.support.wire import Message, abort, response

IDLE = 1.0
"""Seconds without a word on an association."""


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site where the first attempt that fails is the last one."""
    settings = {"retry": {"first": 0.1, "attempts": 1}, "look_interval": 0.3, "idle_time": 60}
    with site(tmp_path_factory.mktemp("idle"), cloud={"delivery": settings}) as made:
        yield made


def abort_at_once(peer: ServerPeer) -> None:
    peer.send(abort())  # and leaves it to the other side to close, as PS3.8 has it


def abort_and_close(peer: ServerPeer) -> None:
    peer.send(abort())
    peer.close()


def reset(peer: ServerPeer) -> None:
    peer.reset()


def abort_when_something_comes(peer: ServerPeer) -> None:
    peer.receive_message()
    peer.send(abort())


def reset_when_something_comes(peer: ServerPeer) -> None:
    peer.receive_message()
    peer.reset()


def ends_idle_associations(
    end: Callable[[ServerPeer], None], inbox: Inbox, ended: threading.Event
) -> Callable[[ServerPeer], None]:
    """Return a destination that ends its first association behind an object, and serves the next ones."""

    def script(peer: ServerPeer) -> None:
        if ended.is_set():
            inbox.script(peer)
            return
        asked = peer.accept_association()

        def answer(message: Message) -> Iterator[Message]:
            yield response(message)
            inbox.keep(message, asked.called, asked.calling)
            ended.set()
            end(peer)

        peer.serve(answer)

    return script


@pytest.mark.parametrize(
    ("number", "end"),
    list(
        enumerate(
            (abort_at_once, abort_and_close, reset, abort_when_something_comes, reset_when_something_comes)
        )
    ),
)
def test_an_object_behind_an_idle_association_loses_no_attempt(
    where: Site, number: int, end: Callable[[ServerPeer], None]
) -> None:
    inbox, ended, nothing = Inbox(), threading.Event(), threading.Event()
    first, second = synthetic(10 * number, 2_000), synthetic(10 * number + 1, 2_000)
    with where.destination_of(ends_idle_associations(end, inbox, ended)), where.open() as client:
        assert store(client, first) == 0
        assert ended.wait(30)
        nothing.wait(IDLE)
        assert store(client, second, 2) == 0
        assert [arrived.instance for arrived in inbox.wait_for(2)] == [
            first.sop_instance,
            second.sop_instance,
        ]
        where.wait_until(lambda: "nothing waits" in queue(where, "why", ARCHIVE), "the queue is empty")
    assert [
        letter["sop_instance"] + letter["cause"] + letter["detail"] for letter in dead_letters(where)
    ] == []


def test_an_object_that_no_association_survives_is_sent_once_more_and_buried(tmp_path: Path) -> None:
    inbox, nothing = Inbox(), threading.Event()
    good, bad = synthetic(100, 2_000), synthetic(101, 2_000)
    tried = []

    def script(peer: ServerPeer) -> None:
        asked = peer.accept_association()

        def answer(message: Message) -> Iterator[Message]:
            if message.data == bad.data:
                tried.append(message)
                peer.send(abort())
                return
            yield response(message)
            inbox.keep(message, asked.called, asked.calling)

        peer.serve(answer)

    settings = {"retry": {"first": 0.1, "attempts": 1}, "look_interval": 0.3, "idle_time": 60}
    with (
        site(tmp_path, cloud={"delivery": settings}) as where,
        where.destination_of(script),
        where.open() as client,
    ):
        assert store(client, good) == 0
        inbox.wait_for(1)
        nothing.wait(IDLE)
        assert store(client, bad, 2) == 0
        where.wait_until(lambda: len(dead_letters(where)) == 1, "the object is buried")
        assert len(tried) == 2
        (letter,) = dead_letters(where)
        assert letter["cause"] == "aborted"
