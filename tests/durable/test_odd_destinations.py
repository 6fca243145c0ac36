"""Destinations that answer too little, or too much: none holds its queue for ever, and no false word counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.durable.operator import dead_letters, queue
from tests.durable.site import ARCHIVE, Inbox, Site, site, store
from tests.support.files import synthetic
from tests.support.scripted import ServerPeer
from tests.support.scripted.peer import Closed
from tests.support.wire import Command, Tag, associate_ac, response
from tests.support.wire.dimse import RESPONSE, p_data

BETWEEN = 0.2
"""Seconds between two bytes of a destination that sends one now and then."""
DEADLINE = 2.0


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(
        tmp_path_factory.mktemp("odd"),
        remote={"association_timeout": DEADLINE},
        cloud={
            "delivery": {
                "retry": {"first": 0.1, "longest": 0.4},
                "look_interval": 0.3,
                "response_timeout": DEADLINE,
                "idle_time": 0.5,
            }
        },
    ) as made:
        yield made


def now_and_then(peer: ServerPeer, data: bytes) -> None:
    """Send a byte now and then, until the other side has had enough."""
    nothing = threading.Event()
    try:
        for at in range(len(data)):
            peer.send(data[at : at + 1])
            nothing.wait(BETWEEN)
    except Closed:
        return


def drip_the_acceptance(peer: ServerPeer) -> None:
    now_and_then(peer, associate_ac(peer.read_request()))


def drip_the_response(peer: ServerPeer) -> None:
    peer.accept_association()
    now_and_then(peer, p_data(response(peer.receive_message())))


def drip_the_response_in_short_pdus(peer: ServerPeer) -> None:
    peer.accept_association()
    answer = response(peer.receive_message())
    nothing = threading.Event()
    whole = p_data(answer, sizes=[2] * (len(answer.command) // 2))
    try:
        for at in range(0, len(whole), 14):  # a PDU of a PDV of two bytes
            peer.send(whole[at : at + 14])
            nothing.wait(BETWEEN)
    except Closed:
        return


@pytest.mark.parametrize(
    ("number", "bad"),
    list(enumerate((drip_the_acceptance, drip_the_response, drip_the_response_in_short_pdus))),
)
def test_a_byte_now_and_then_is_no_answer(
    where: Site, number: int, bad: Callable[[ServerPeer], None]
) -> None:
    content = synthetic(number, 2_000)
    with where.open() as client:
        assert store(client, content) == 0
    with where.destination_of(bad):
        where.wait_until(lambda: "1 wait: timeout" in queue(where, "why", ARCHIVE), "it counts as silent")
    inbox = Inbox()
    with where.destination(inbox):
        assert inbox.wait_for(1)[0].data == content.data
    assert dead_letters(where) == []


def test_a_second_response_is_no_word_about_the_next_object(where: Site) -> None:
    """... which the destination may not have kept."""
    first, second = synthetic(10, 2_000), synthetic(11, 2_000)
    seen: list[str] = []

    def answers_twice(peer: ServerPeer) -> None:
        peer.accept_association()
        while True:
            message = peer.receive_message()
            instance = message.text(Tag.AFFECTED_SOP_INSTANCE)
            seen.append(instance)
            if instance == first.sop_instance:
                peer.send_message(response(message))
                peer.send_message(response(message))
            else:
                peer.expect_closed()
                return

    with where.open() as client:
        for number, content in enumerate((first, second), start=1):
            assert store(client, content, number) == 0
    with where.destination_of(answers_twice):
        where.wait_until(lambda: "1 wait: protocol-error" in queue(where, "why", ARCHIVE), "that is noticed")
    assert first.sop_instance in seen
    inbox = Inbox()
    with where.destination(inbox):
        inbox.wait_for(1)
    assert inbox.instances[-1] == second.sop_instance
    assert dead_letters(where) == []


def test_the_response_to_something_else_is_none(where: Site) -> None:
    content = synthetic(20, 2_000)

    def answers_a_verification(peer: ServerPeer) -> None:
        peer.accept_association()
        message = peer.receive_message()
        peer.send_message(response(message, more={Tag.COMMAND_FIELD: Command.C_ECHO | RESPONSE}))
        peer.expect_closed()

    with where.open() as client:
        assert store(client, content) == 0
    with where.destination_of(answers_a_verification):
        where.wait_until(lambda: "1 wait: protocol-error" in queue(where, "why", ARCHIVE), "that is noticed")
    inbox = Inbox()
    with where.destination(inbox):
        assert inbox.wait_for(1)[0].data == content.data
    assert dead_letters(where) == []
