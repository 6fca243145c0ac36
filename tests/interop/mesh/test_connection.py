"""Publish, subscribe, request and serve over a real nats-server."""

from __future__ import annotations

import logging
import time
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from dimse_mesh.mesh import (
    InvalidSubject,
    Mesh,
    MeshTimeout,
    Message,
    NoResponders,
    PayloadTooLarge,
    RemoteError,
)
from dimse_mesh.schemas.service import Dead, Obituary
from dimse_mesh.schemas.subjects import Subject
from tests.interop.mesh.conftest import Join
from tests.support.stalls import Stalls
from tests.support.waiting import Edges, Mailbox

pytestmark = pytest.mark.anyio

ECHO = Subject("test.echo", Obituary, Obituary, "echoes")
HEAD = Obituary(dead=Dead(role="scu", instance="x"))


async def echo(request: Obituary, tail: memoryview, _: Message) -> tuple[Obituary, bytes]:
    return request, bytes(tail)


async def test_bulk_arrives_whole_and_in_order_under_load(pair: tuple[Mesh, Mesh]) -> None:
    one, two = pair
    count, size, got = 2000, 60_000, []
    done = anyio.Event()

    def receive(message: Message) -> None:
        got.append((int.from_bytes(message.payload[:4], "big"), len(message.payload)))
        if len(got) == count:
            done.set()

    await two.subscribe("test.bulk", receive, bulk=True)
    body = bytes(size)
    with anyio.fail_after(30):
        for number in range(count):
            while not one.publish_bulk("test.bulk", number.to_bytes(4, "big"), body):
                await anyio.lowlevel.checkpoint()
        await done.wait()
    assert got == [(number, size + 4) for number in range(count)]
    assert one.bulk_backlog() == 0


async def test_bulk_backlog_is_bounded_and_says_false(join: Join) -> None:
    async with join(bulk_backlog=200_000) as mesh:
        body = bytes(100_000)
        accepted = 0
        while mesh.publish_bulk("test.bulk", body):
            accepted += 1
            assert mesh.bulk_backlog() <= 200_000
            assert accepted < 10_000


async def test_who_was_refused_is_told_when_there_is_room(join: Join) -> None:
    async with join(bulk_backlog=1_000_000) as mesh:
        room = anyio.Event()
        mesh.on_bulk_room(room.set)
        body = bytes(100_000)
        while mesh.publish_bulk("test.bulk", body):
            pass
        with anyio.fail_after(30):
            await room.wait()
        assert mesh.bulk_backlog() <= 125_000
        assert mesh.publish_bulk("test.bulk", body)


async def test_who_was_refused_within_a_turn_goes_on_at_its_end(join: Join) -> None:
    async with join(bulk_backlog=200_000) as mesh:
        body, wanted, sent = bytes(50_000), 100, 0
        done = anyio.Event()

        def send() -> None:
            nonlocal sent
            while sent < wanted and mesh.publish_bulk("test.bulk", body):
                sent += 1
            if sent == wanted:
                done.set()

        mesh.on_bulk_room(send)
        await mesh.subscribe("test.go", lambda _: send())
        mesh.publish("test.go", b"")
        with anyio.fail_after(30):
            await done.wait()


async def test_publish_is_handed_to_the_socket_before_it_returns(pair: tuple[Mesh, Mesh]) -> None:
    one, two = pair
    mailbox = Mailbox()
    await two.subscribe("test.control", mailbox)
    assert one.publish("test.control", b"hello", reply="test.reply", headers={"traceparent": "00-ab"})
    (message,) = await mailbox.until(1)
    assert message == Message("test.control", "test.reply", b"hello", {"traceparent": "00-ab"})


async def test_publish_to_nobody_with_a_reply_comes_back_as_no_responders(pair: tuple[Mesh, Mesh]) -> None:
    one, _ = pair
    mailbox = Mailbox()
    await one.subscribe("test.refused", mailbox)
    one.publish("test.nobody", b"", reply="test.refused")
    (message,) = await mailbox.until(1)
    assert message.no_responders
    assert message.subject == "test.refused"


async def test_a_queue_group_gets_each_message_once(pair: tuple[Mesh, Mesh]) -> None:
    _, two = pair
    mailbox = Mailbox()
    for mesh in pair:
        await mesh.subscribe("test.work", mailbox, queue="workers")
    for number in range(100):
        two.publish("test.work", str(number).encode())
    messages = await mailbox.until(100)
    assert {int(message.payload) for message in messages} == set(range(100))


async def test_a_subscriber_that_raises_is_counted_and_gets_the_next_message(
    pair: tuple[Mesh, Mesh], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = pair
    mailbox = Mailbox()
    fails_once = mailbox.behind_a_fault(ValueError("PATIENT^NAME"))
    subscription = await two.subscribe("test.control", fails_once)
    with caplog.at_level(logging.ERROR):
        one.publish("test.control", b"")
        one.publish("test.control", b"next")
        await mailbox.until(1)
    assert (subscription.received, subscription.failed) == (2, 1)
    assert "a subscriber of test.control raised ValueError" in caplog.text
    assert "PATIENT" not in caplog.text


async def test_unsubscribe_ends_the_interest(pair: tuple[Mesh, Mesh]) -> None:
    one, two = pair
    mailbox, marker = Mailbox(), Mailbox()
    subscription = await two.subscribe("test.control", mailbox)
    await two.subscribe("test.marker", marker)
    await subscription.unsubscribe()
    one.publish("test.control", b"")
    one.publish("test.marker", b"")
    await marker.until(1)
    assert not mailbox.messages


async def test_a_request_gets_the_reply_and_its_tail(pair: tuple[Mesh, Mesh]) -> None:
    one, two = pair
    await two.serve(ECHO, echo, max_concurrent=4)
    reply = await one.request(ECHO, HEAD, b"tail", timeout=30)
    assert (reply.head, bytes(reply.tail), reply.sender) == (HEAD, b"tail", two.address)


async def test_a_request_that_nobody_serves_raises_no_responders_at_once(
    pair: tuple[Mesh, Mesh], stalls: Stalls
) -> None:
    began = time.monotonic()
    with pytest.raises(NoResponders):
        await pair[0].request(ECHO, HEAD, timeout=60)
    assert stalls.moved(began) < 1


async def test_a_request_without_an_answer_times_out(pair: tuple[Mesh, Mesh]) -> None:
    one, two = pair
    await two.subscribe(ECHO.interest, Mailbox())
    with pytest.raises(MeshTimeout):
        await one.request(ECHO, HEAD, timeout=0.05)


async def test_requests_are_served_concurrently_up_to_the_limit(pair: tuple[Mesh, Mesh]) -> None:
    one, two = pair
    release, started = anyio.Event(), Mailbox()

    async def slow(request: Obituary, tail: memoryview, message: Message) -> tuple[Obituary, bytes]:
        started(message)
        await release.wait()
        return request, bytes(tail)

    def busy(*_: object) -> tuple[Obituary, bytes]:
        return Obituary(dead=Dead(role="scu", instance="busy")), b""

    await two.serve(ECHO, slow, max_concurrent=2, busy=busy)
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(partial(one.request, ECHO, HEAD, timeout=30))
        await started.until(2)
        refused = (await one.request(ECHO, HEAD, timeout=30)).head
        release.set()
    assert refused.dead.instance == "busy"


async def test_above_the_limit_without_a_busy_reply_the_requester_gets_the_code(
    pair: tuple[Mesh, Mesh],
) -> None:
    one, two = pair
    await two.serve(ECHO, echo, max_concurrent=0)
    with pytest.raises(RemoteError) as error:
        await one.request(ECHO, HEAD, timeout=30)
    assert (error.value.code, error.value.retryable) == ("busy", True)


async def test_a_handler_that_raises_sends_a_code_and_no_text(
    pair: tuple[Mesh, Mesh], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = pair

    async def broken(*_: object) -> tuple[Obituary, bytes]:
        raise KeyError("PATIENT^NAME")

    await two.serve(ECHO, broken, max_concurrent=1)
    with pytest.raises(RemoteError) as error:
        await one.request(ECHO, HEAD, timeout=30)
    assert error.value.code == "internal"
    assert "the handler of test.echo raised KeyError" in caplog.text
    assert "PATIENT" not in caplog.text


async def test_a_malformed_request_is_refused_without_reaching_the_handler(pair: tuple[Mesh, Mesh]) -> None:
    one, two = pair
    await two.serve(ECHO, echo, max_concurrent=1)
    mailbox = Mailbox()
    await one.subscribe(f"{one.subjects.inbox}.>", mailbox)
    one.publish(ECHO.sent_by(one.address), b"\x10garbage", reply=f"{one.subjects.inbox}.abc")
    (message,) = await mailbox.until(1)
    assert message.headers == {"Mesh-Error": "malformed"}


async def test_a_payload_over_the_servers_limit_is_refused_before_it_costs_the_connection(
    pair: tuple[Mesh, Mesh],
) -> None:
    one, two = pair
    edges = Edges(one)
    with pytest.raises(PayloadTooLarge):
        one.publish("test.control", bytes(one.max_payload), headers={"a": "b"})
    with pytest.raises(PayloadTooLarge):
        one.publish_bulk("test.bulk", bytes(one.max_payload), b"x")
    mailbox = Mailbox()
    await two.subscribe("test.control", mailbox)
    assert one.publish("test.control", bytes(one.max_payload))
    await mailbox.until(1)
    assert edges.seen == []


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB b 0\r\n\r\n", "a\tb"])
async def test_a_subject_can_not_smuggle_protocol_lines(pair: tuple[Mesh, Mesh], subject: str) -> None:
    one, _ = pair
    with pytest.raises(InvalidSubject):
        one.publish(subject, b"")
    if subject:
        with pytest.raises(InvalidSubject):
            one.publish("a", b"", reply=subject)
    with pytest.raises(InvalidSubject):
        await one.subscribe(subject, Mailbox())


async def test_draining_finishes_the_requests_being_served(join: Join) -> None:
    started, release = anyio.Event(), anyio.Event()

    async def slow(request: Obituary, tail: memoryview, _: Message) -> tuple[Obituary, bytes]:
        started.set()
        await release.wait()
        return request, bytes(tail)

    replies: list[Obituary] = []
    async with join("client") as client:

        async def ask() -> None:
            replies.append((await client.request(ECHO, HEAD, timeout=30)).head)

        async def nobody_serves() -> bool:
            try:
                await client.request(ECHO, HEAD, timeout=30)
            except RemoteError:  # busy
                return False
            except NoResponders:
                return True
            return False

        async with anyio.create_task_group() as tasks, join("server") as server:
            await server.serve(ECHO, slow, max_concurrent=1)
            tasks.start_soon(ask)
            await started.wait()
            tasks.start_soon(server.drain)
            while not await nobody_serves():
                pass
            release.set()
    assert replies == [HEAD]


async def test_an_error_inside_the_block_comes_out_as_it_is(join: Join) -> None:
    with pytest.raises(LookupError):
        async with join():
            raise LookupError
