"""Destinations that refuse in every way: the right cause, a clear line, nothing lost, others unaffected."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.durable.operator import dead_letters, numbers, queue
from tests.durable.site import ARCHIVE, Inbox, Site, served, site, store
from tests.support.files import synthetic
from tests.support.mesh import Ae
from tests.support.ports import reserve_port
from tests.support.scripted import ServerPeer
from tests.support.wire import Command, ContextResult, Message, abort, associate_rj, response

SECOND = Ae("SECOND", reserve_port(), "cloud")
SECURE = {"ae_title": "SECURE", "host": "127.0.0.1", "port": reserve_port(), "tls": {}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(
        tmp_path_factory.mktemp("causes"),
        remote={"association_timeout": 1.0, "max_associations": 1},
        cloud={
            "delivery": {
                "retry": {"first": 0.1, "longest": 0.4, "attempts": 6},
                "look_interval": 0.3,
                "response_timeout": 20.0,
                "idle_time": 0.5,
            }
        },
        more_aes=(SECOND, SECURE),
        more_routes=[
            {"called": title, "to": {"ae": title}, "delivery": "durable"} for title in ("SECOND", "SECURE")
        ],
    ) as made:
        yield made


@pytest.fixture
def where(shared: Site) -> Iterator[Site]:
    """The site, empty before and after."""
    yield shared
    queue(shared, "drop", ARCHIVE, "--yes")
    queue(shared, "drop", ARCHIVE, "--waiting", "--yes")


class Script:
    """A destination that does as told for so many associations, and serves well afterwards."""

    def __init__(self, bad: Callable[[ServerPeer], None], times: int) -> None:
        self.inbox = Inbox()
        self._bad = bad
        self._left = times
        self._lock = threading.Lock()
        self.done = threading.Event()

    def __call__(self, peer: ServerPeer) -> None:
        with self._lock:
            bad = self._left > 0
            self._left -= bad
            if not self._left:
                self.done.set()
        if bad:
            self._bad(peer)
        else:
            self.inbox.script(peer)


def reject_permanently(peer: ServerPeer) -> None:
    """Don't know the calling AE title."""
    peer.read_request()
    peer.send(associate_rj(1, 1, 3))


def say_nothing(peer: ServerPeer) -> None:
    """Accept TCP, and be silent."""
    peer.read_request()
    peer.expect_closed()


def close_after_the_data_set(peer: ServerPeer) -> None:
    """Take the object, and go without a response."""
    peer.accept_association()
    peer.receive()


def out_of_resources(peer: ServerPeer) -> None:
    """Answer A700H once, then end."""
    peer.accept_association()
    message = peer.receive_message()
    peer.send_message(response(message, status=0xA700))


def abort_after_the_data_set(peer: ServerPeer) -> None:
    """Take the object, and abort."""
    peer.accept_association()
    peer.receive_message()
    peer.send(abort(0, 0))


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        (reject_permanently, "rejected"),
        (say_nothing, "timeout"),
        (close_after_the_data_set, "no-response"),
        (abort_after_the_data_set, "aborted"),
        (out_of_resources, "out-of-resources"),
    ],
)
def test_a_destination_that_mends_gets_everything(
    where: Site, bad: Callable[[ServerPeer], None], cause: str
) -> None:
    """... and `queue why` says meanwhile what is the matter, and another destination feels nothing."""
    sent = [synthetic(number, 20_000, study=3) for number in range(4)]
    before = len(where.mesh.log.read_text())
    with where.open() as client:
        for content in sent:
            assert store(client, content) == 0
    script, other = Script(bad, 3), Inbox()
    with served(SECOND.port, other.script), where.destination_of(script):
        with where.open(called="SECOND") as client:
            assert store(client, synthetic(9, 20_000)) == 0
        other.wait_for(1)
        arrived = script.inbox.wait_for(len(sent))
    firsts = list(dict.fromkeys(got.instance for got in arrived))
    assert firsts == [content.sop_instance for content in sent]
    assert f"hospital to ae ARCHIVE: {cause}" in where.mesh.log.read_text()[before:]
    assert dead_letters(where) == []


@pytest.mark.parametrize("status", [0xB007, 0x0107, 0x0111])
def test_warnings_and_what_is_there_already_count_as_delivered(where: Site, status: int) -> None:
    content = synthetic(status, 2_000)
    inbox = Inbox(status=status)
    with where.open() as client:
        assert store(client, content) == 0
    with where.destination(inbox):
        inbox.wait_for(1)
        where.wait_until(lambda: numbers(where)["waiting"] == 0, "it has left the queue")
    assert inbox.instances == [content.sop_instance]
    assert dead_letters(where) == []


def test_why_says_what_is_the_matter(where: Site) -> None:
    with where.open() as client:
        assert store(client, synthetic(20, 2_000)) == 0
    where.wait_until(lambda: "connection-refused" in queue(where, "why", ARCHIVE), "the cause is said")
    assert numbers(where)["waiting"] == 1
    with where.destination_of(Script(reject_permanently, 10**6)):
        where.wait_until(
            lambda: "calling-ae-title-not-recognized" in queue(where, "why", ARCHIVE), "the cause is said"
        )
    inbox = Inbox()
    with where.destination(inbox):
        inbox.wait_for(1)
    where.wait_until(lambda: numbers(where)["says"] == "nothing waits", "the queue is empty")


def test_a_destination_that_refuses_objects_is_there(where: Site) -> None:
    refused, asked = synthetic(25, 2_000, study=25), synthetic(26, 2_000, study=26)
    with where.open() as client:
        for content in (refused, asked):
            assert store(client, content) == 0
    where.wait_until(lambda: "connection-refused" in queue(where, "why", ARCHIVE), "the cause is said")
    may_answer = threading.Event()

    def script(peer: ServerPeer) -> None:
        peer.accept_association()
        peer.send_message(response(peer.receive_message(), status=0xC000))
        second = peer.receive_message()
        assert may_answer.wait(60)
        peer.send_message(response(second, status=0xC000))
        peer.serve(lambda _: ())

    try:
        with where.destination_of(script):
            where.wait_until(lambda: numbers(where)["failed"] == 1, "the first one is a dead letter")
            where.wait_until(
                lambda: queue(where, "why", ARCHIVE) == f"{ARCHIVE}: 1 wait: delivering\n",
                "it is said that the next one is being delivered",
            )
            may_answer.set()
            where.wait_until(lambda: numbers(where)["failed"] == 2, "the second one is a dead letter")
    finally:
        may_answer.set()


def test_what_nobody_takes_holds_nothing_up_and_can_be_tried_again(where: Site) -> None:
    poison, good = synthetic(30, 2_000, study=30), synthetic(31, 2_000, study=31)
    inbox = Inbox()

    def script(peer: ServerPeer) -> None:
        asked = peer.accept_association()

        def answer(message: Message) -> Iterator[Message]:
            bad = poison.sop_instance.encode() in message.command
            yield response(
                message, status=0xC000 if bad else 0, more={0x0902: "cannot understand"} if bad else None
            )
            if not bad and message.field == Command.C_STORE:
                inbox.keep(message, asked.called, asked.calling)

        peer.serve(answer)

    with where.open() as client:
        for content in (poison, good):
            assert store(client, content) == 0
    with where.destination_of(script):
        assert inbox.wait_for(1)[0].data == good.data
    letters = dead_letters(where)
    assert [(letter["sop_instance"], letter["cause"], letter["status"]) for letter in letters] == [
        (poison.sop_instance, "failure-status", 0xC000)
    ]
    assert letters[0]["detail"] == "cannot understand"
    answer = Message(1, bytes.fromhex(letters[0]["answer"]))
    assert (answer.status, answer.text(0x0902)) == (0xC000, "cannot understand"), "as the destination sent it"
    with where.destination(inbox):
        queue(where, "retry", ARCHIVE, poison.sop_instance)
        assert inbox.wait_for(2)[1].data == poison.data
    assert dead_letters(where) == []


def test_many_dead_letters_go_back_in_their_order(where: Site) -> None:
    sent = [synthetic(1_000 + number, 2_000, study=number // 50) for number in range(300)]
    with where.open() as client:
        for number, content in enumerate(sent):
            assert store(client, content, number + 1) == 0
    with where.destination(Inbox(status=0xC000)):
        where.wait_until(lambda: numbers(where)["failed"] == len(sent), "all are dead letters")
    assert f"{len(sent)} put back" in queue(where, "retry", ARCHIVE)
    inbox = Inbox()
    with where.destination(inbox):
        arrived = inbox.wait_for(len(sent), timeout=60)
    assert [got.instance for got in arrived] == [content.sop_instance for content in sent]


def test_an_object_that_is_never_taken_holds_up_its_study_alone(where: Site) -> None:
    poison, same, other = (
        synthetic(40, 2_000, study=40),
        synthetic(41, 2_000, study=40),
        synthetic(42, 2_000, study=42),
    )
    inbox = Inbox()

    def script(peer: ServerPeer) -> None:
        asked = peer.accept_association()

        def answer(message: Message) -> Iterator[Message]:
            bad = poison.sop_instance.encode() in message.command
            yield response(message, status=0xA700 if bad else 0)
            if not bad:
                inbox.keep(message, asked.called, asked.calling)

        peer.serve(answer)

    with where.open() as client:
        for content in (poison, same, other):
            assert store(client, content) == 0
    with where.destination_of(script):
        arrived = inbox.wait_for(2)
    assert [got.instance for got in arrived] == [other.sop_instance, same.sop_instance]
    letter = dead_letters(where)[0]
    assert (letter["sop_instance"], letter["cause"], letter["attempts"]) == (
        poison.sop_instance,
        "out-of-resources",
        6,
    )


def test_all_contexts_rejected(where: Site) -> None:
    content = synthetic(50, 2_000, study=50)
    with where.open() as client:
        assert store(client, content) == 0

    def script(peer: ServerPeer) -> None:
        asked = peer.read_request()
        from tests.support.wire import associate_ac

        results = [ContextResult(context.id, 3, "1.2.840.10008.1.2") for context in asked.contexts]
        peer.send(associate_ac(asked, results))
        peer.serve(lambda _: ())

    with where.destination_of(script):
        where.wait_until(lambda: len(dead_letters(where)) == 1, "it is a dead letter")
    assert dead_letters(where)[0]["cause"] == "no-presentation-context"


def test_a_destination_without_tls_where_it_is_to_be(where: Site) -> None:
    with where.open(called="SECURE") as client:
        assert store(client, synthetic(70, 2_000)) == 0
    with served(int(str(SECURE["port"])), lambda peer: peer.send(b"no TLS is spoken here")):
        where.wait_until(lambda: "SECURE: 1 wait: tls-failed" in queue(where, "why", "SECURE"), "why is said")
    assert dead_letters(where) == []


def test_resume_makes_the_next_attempt_at_once(tmp_path: Path) -> None:
    seldom = {"delivery": {"retry": {"first": 1000.0, "longest": 1000.0}}}
    inbox, content = Inbox(), synthetic(1, 2_000)
    with site(tmp_path, cloud=seldom) as where:
        with where.open() as client:
            assert store(client, content) == 0
        where.wait_until(lambda: "connection-refused" in queue(where, "why", ARCHIVE), "it has been tried")
        with where.destination_of(reject_permanently):
            queue(where, "resume", ARCHIVE)
            where.wait_until(lambda: "not-recognized" in queue(where, "why", ARCHIVE), "it is tried again")
        with where.destination(inbox):
            queue(where, "resume", ARCHIVE)
            assert inbox.wait_for(1)[0].data == content.data


def test_a_paused_queue_goes_on_when_its_time_is_over(where: Site) -> None:
    queue(where, "pause", ARCHIVE, "--reason", "a moment", "--minutes", "0.05")
    inbox = Inbox()
    with where.destination(inbox):
        with where.open() as client:
            assert store(client, synthetic(61, 2_000)) == 0
        inbox.wait_for(1)


def test_a_paused_queue_keeps_and_says_so(where: Site) -> None:
    queue(where, "pause", ARCHIVE, "--reason", "night shift")
    inbox = Inbox()
    with where.destination(inbox):
        with where.open() as client:
            assert store(client, synthetic(60, 2_000)) == 0
        assert "paused until `queue resume`: night shift" in queue(where, "why", ARCHIVE)
        where.kill("cloud/delivery")
        assert numbers(where)["waiting"] == 1
        assert inbox.instances == []
        queue(where, "resume", ARCHIVE)
        inbox.wait_for(1)
