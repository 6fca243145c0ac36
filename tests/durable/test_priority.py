"""Priorities of routes to one destination: what it gets first, in which order, and that nothing waits without end."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from dimse_mesh.delivery.bands import HIGHER, LOWER
from tests.durable.site import ARCHIVE, PATIENCE, Inbox, Site, message_of, site, store
from tests.support.files import DicomFile, synthetic
from tests.support.scripted import ServerPeer
from tests.support.wire import Command, Message, Tag, request, response

URGENT, LATER = "URGENT", "LATER"
"""Called AE titles of routes with high and low priority."""


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    to_archive = {"to": {"ae": ARCHIVE}, "delivery": "durable", "called_ae": ARCHIVE}
    with site(
        tmp_path_factory.mktemp("priority"),
        more_routes=[
            {"called": URGENT, "priority": "high", **to_archive},
            {"called": LATER, "priority": "low", **to_archive},
        ],
    ) as made:
        yield made


def put(where: Site, called: str, contents: Sequence[DicomFile]) -> list[str]:
    """Store objects; return their SOP instance UIDs."""
    with where.open(called=called) as client:
        for content in contents:
            assert store(client, content) == 0
        client.release()
    return [content.sop_instance for content in contents]


def made(first: int, count: int, *, study: int) -> list[DicomFile]:
    """Make objects of one study."""
    return [synthetic(first + number, 2_000, study=study) for number in range(count)]


@contextmanager
def late_destination(where: Site, inbox: Inbox) -> Iterator[None]:
    """Run the destination for the length of the block; it turns the first association away.

    The object for which that is asked may have been chosen before the last one was stored: a choice isn't changed
    while an association is being opened.
    """
    is_first = iter((True,))

    def script(peer: ServerPeer) -> None:
        if not next(is_first, False):
            inbox.script(peer)

    with where.destination_of(script):
        yield


def test_higher_ones_come_first_whenever_they_were_stored(where: Site) -> None:
    low = put(where, LATER, made(0, 10, study=10))
    medium = put(where, ARCHIVE, made(0, 10, study=11))
    high = put(where, URGENT, made(0, 3, study=12))
    inbox = Inbox()
    with late_destination(where, inbox):
        inbox.wait_for(23)
    assert inbox.instances == [*high, *medium, *low]


def test_one_study_keeps_its_order_and_its_older_objects_come_along(where: Site) -> None:
    older = put(where, LATER, made(0, 3, study=20))
    others = put(where, ARCHIVE, made(0, 5, study=21))
    newer = put(where, URGENT, made(3, 2, study=20))
    newest = put(where, LATER, made(5, 2, study=20))
    inbox = Inbox()
    with late_destination(where, inbox):
        inbox.wait_for(12)
    assert inbox.instances == [*older, *newer, *others, *newest]


def test_what_is_low_is_not_kept_waiting_without_end(where: Site) -> None:
    low = put(where, LATER, made(0, 2 * LOWER, study=30))
    high = put(where, URGENT, made(0, 2 * HIGHER + 1, study=31))
    inbox = Inbox()
    with late_destination(where, inbox):
        inbox.wait_for(len(low) + len(high))
    turns = [HIGHER, LOWER, HIGHER, LOWER, 1]
    is_low = [uid in low for uid in inbox.instances]
    assert is_low == [number % 2 == 1 for number, length in enumerate(turns) for _ in range(length)]
    assert [uid for uid in inbox.instances if uid in low] == low


@dataclass(slots=True)
class Slow:
    """A destination that takes its time for the first object."""

    inbox: Inbox = field(default_factory=Inbox)
    asked: threading.Event = field(default_factory=threading.Event)
    may_answer: threading.Event = field(default_factory=threading.Event)
    priorities: dict[str, bytes] = field(default_factory=dict)
    """Of the C-STORE-RQs (0000,0700), as they came, by SOP Instance UID."""

    def script(self, peer: ServerPeer) -> None:
        """Serve one association."""
        association = peer.accept_association()

        def answer(message: Message) -> Iterator[Message]:
            if message.field == Command.C_STORE:
                self.asked.set()
                assert self.may_answer.wait(PATIENCE)
                instance = message.elements[Tag.AFFECTED_SOP_INSTANCE].decode().rstrip("\0")
                self.priorities[instance] = message.elements[Tag.PRIORITY]
                self.inbox.keep(message, association.called, association.calling)
            yield response(message)

        peer.serve(answer)


def test_what_is_stored_while_others_wait_is_next(where: Site) -> None:
    low = put(where, LATER, made(0, 8, study=40))
    slow = Slow()
    with where.destination_of(slow.script):
        assert slow.asked.wait(PATIENCE)
        high = put(where, URGENT, made(0, 2, study=41))
        slow.may_answer.set()
        slow.inbox.wait_for(10)
    assert slow.inbox.instances == [low[0], *high, *low[1:]]


def test_a_clients_own_priority_passes_as_it_is(where: Site) -> None:
    """(0000,0700) is the destination's to heed."""
    slow = Slow()
    slow.may_answer.set()
    values, sent = (0, 1, 2, 0xBEEF), []
    with where.destination_of(slow.script), where.open() as client:
        for number, value in enumerate(values):
            content = synthetic(number, 2_000, study=50)
            message = request(
                Command.C_STORE,
                number + 1,
                content.sop_class,
                data=content.data,
                context_id=message_of(content).context_id,
                more={Tag.PRIORITY: value, Tag.AFFECTED_SOP_INSTANCE: content.sop_instance},
            )
            assert client.exchange(message).status == 0
            sent.append(content.sop_instance)
        where.wait_until(lambda: content.sop_instance in slow.inbox.instances, "the last one comes")
        client.release()
    # Beside them may come, once more, what a destination has left before it had answered.
    assert [slow.priorities[uid] for uid in sent] == [value.to_bytes(2, "little") for value in values]
