"""Settings and peers at the edge of what is allowed, and beyond it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from dimse_mesh.endpoint import socket_peer, time_shares
from dimse_mesh.endpoint.operation_limit import LONGEST_HOLD, PAID_BACK
from dimse_mesh.schemas.frames import FIRST_CONTROL, FrameKind, encode_frame, encode_u32
from dimse_mesh.schemas.subjects import Kind
from dimse_mesh.streams.outbound import Lane, Segment
from dimse_mesh.upper_layer.framing import MOST_PDVS
from tests.support.wire import (
    STUDY_ROOT_FIND,
    VERIFICATION,
    Command,
    Message,
    cancel_rq,
    p_data,
    pdu,
    pdv,
    request,
    response,
    store_rq,
)
from tests.unit.endpoint.joined import FRONT, SETTINGS, Joined, joined
from tests.unit.endpoint.virtual_time import run

FIND = request(Command.C_FIND, 1, STUDY_ROOT_FIND, data=b"", context_id=5)


def _set_clock(monkeypatch: pytest.MonkeyPatch, clock: Callable[[], float]) -> None:
    """Let turns be as long as `clock` says, however busy the machine is."""
    for module in (time_shares, socket_peer):
        monkeypatch.setattr(module, "perf_counter", clock)


def store(message_id: int, size: int) -> Message:
    return store_rq(message_id, "1.2.3", bytes(size), context_id=3)


@pytest.mark.parametrize("size", [999, 1000, 1001, 5000, 8000])
def test_an_inline_limit_above_the_chunk_size_is_held_to_it(size: int) -> None:
    async def main() -> None:
        async with joined(settings=replace(SETTINGS, chunk_size=1001, inline_limit=6000)) as both:
            both.client.send(store(1, size))
            await both.settle(1)
            assert both.target.received == both.client.sent

    run(main())


@pytest.mark.parametrize(("window", "largest"), [(256 * 1024, 64 * 1024), (64 * 1024 * 1024, 496 * 1024)])
def test_chunks_are_as_large_as_what_is_read_at_once(window: int, largest: int) -> None:
    """Over a thin line, where little is read at once, short operations wait behind little."""

    async def main() -> None:
        settings = replace(
            SETTINGS, window=8 << 20, largest_window=8 << 20, chunk_size=496 * 1024, inline_limit=1001
        )
        async with joined(settings=settings) as both:
            congestion = both.front.half.sender.outbound.congestion
            assert congestion is not None
            congestion._open(window)
            both.client.send(store(1, 10))
            await both.settle(1)
            congestion._open(window)  # what was sent so far has told that it is a fast one
            sizes = []
            publish = both.front.carrier.publish_bulk

            def note(subject: str, *parts: bytes | memoryview) -> bool:
                sizes.append(sum(map(len, parts)))
                return publish(subject, *parts)

            both.front.carrier.publish_bulk = note  # type: ignore[method-assign] # what the test watches
            both.client.send(store(2, 3_000_000))
            await both.settle(1)
            assert both.target.received == both.client.sent
            assert sizes[0] == largest + 28

    run(main())


def test_a_peer_that_takes_only_pdus_without_room_for_data_is_aborted() -> None:
    async def main() -> None:
        async with joined(max_pdus=(6, 16384)) as both:
            await both.settle(30)
            assert both.client.aborts == [(2, 6)]
            assert both.target.aborts == [(2, 0)]
            both.assert_nothing_is_left()

    run(main())


def test_a_maximum_length_with_room_for_one_byte_is_kept() -> None:
    async def main() -> None:
        async with joined(max_pdus=(7, 7)) as both:
            both.client.send(store(1, 50))
            await both.settle(1)
            assert both.target.received == both.client.sent
            assert both.target.longest_pdu == 7

    run(main())


def test_a_read_of_large_pdus_does_not_overrun_the_smallest_window() -> None:
    async def main() -> None:
        half_settings = replace(SETTINGS, window=256 * 1024, chunk_size=1020 * 1024, inline_limit=512 * 1024)
        async with joined(settings=half_settings) as both:
            for end in both.ends:
                end.peer.connection.max_length = 2 << 20
            both.target.stall(stalled=True)
            both.client.max_pdu = 2 << 20
            for number in range(1, 4):
                both.client.send(store(number, 5_000_000))
            await both.settle(5)
            both.target.stall(stalled=False)
            await both.settle(30)
            assert both.target.received == both.client.sent

    run(main())


async def _aborted(both: Joined, source: int, reason: int) -> None:
    await both.settle(30)
    assert both.client.aborts == [(source, reason)]
    assert both.target.aborts == [(2, 0)]
    both.assert_nothing_is_left()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (p_data(store_rq(1, "1.2", b"", context_id=7)), 6),  # a context that was not accepted
        (pdu(4, b""), 6),
        (pdu(4, b"\0\0\0\x01\x01"), 6),
        (pdu(4, pdv(1, is_command=False, is_last=True, fragment=b"")), 6),
        (pdu(4, pdv(1, is_command=True, is_last=True, fragment=b"\0")), 6),
        (pdu(1, bytes(100)), 2),
        (pdu(2, bytes(100)), 2),
        (pdu(6, bytes(4)), 2),
        (pdu(9, b""), 1),
        (b"\x04\0\xff\xff\xff\xff", 6),
    ],
)
def test_what_a_peer_must_not_send_ends_in_an_abort_with_the_reason(data: bytes, reason: int) -> None:
    async def main() -> None:
        async with joined() as both:
            both.client.transport.feed(data)
            await _aborted(both, 2, reason)

    run(main())


@pytest.mark.parametrize("count", [1, 63, 64, 65, 127, 128, 129, 1000, 4096])
def test_a_pdu_of_many_fragments_is_one_message(count: int) -> None:
    async def main() -> None:
        async with joined() as both:
            sent = store_rq(1, "1.2.3", bytes(range(250)) * 20, context_id=3)
            size = -(-5000 // count)
            pieces = [sent.data[at : at + size] for at in range(0, 5000, size)] if sent.data else []
            pieces += [b""] * (count - len(pieces))
            body = b"".join(
                pdv(3, is_command=False, is_last=number == count, fragment=piece)
                for number, piece in enumerate(pieces, 1)
            )
            both.client.sent.append(sent)
            command = pdu(4, pdv(3, is_command=True, is_last=True, fragment=sent.command))
            both.client.transport.feed(
                command + pdu(4, body) + p_data(request(Command.C_ECHO, 2, VERIFICATION))
            )
            await both.settle(1)
            assert both.target.received[:1] == [sent]
            assert [message.field for message in both.target.received] == [Command.C_STORE, Command.C_ECHO]

    run(main())


def test_a_pdu_of_too_many_fragments_is_malformed() -> None:
    async def main() -> None:
        async with joined() as both:
            both.client.transport.feed(
                pdu(4, pdv(1, is_command=True, is_last=False, fragment=b"") * (MOST_PDVS + 1))
            )
            await _aborted(both, 2, 6)

    run(main())


def test_what_was_whole_before_the_mistake_still_counts() -> None:
    async def main() -> None:
        async with joined() as both:
            both.client.transport.feed(p_data(request(Command.C_ECHO, 1, VERIFICATION)) + b"\x63\0\0\0\0\0")
            await both.settle(0.01)
            assert [message.field for message in both.target.received] == [Command.C_ECHO]
            await _aborted(both, 2, 1)

    run(main())


@pytest.mark.parametrize("kind", [9, 25])
def test_a_frame_of_a_kind_that_a_newer_version_added_is_passed_over(kind: int) -> None:
    """A segment (kind 9) has its place in the order; nothing comes of it. The association goes on."""

    async def main() -> None:
        async with joined() as both:
            outbound = both.executor.half.sender.outbound
            frame = bytearray(encode_frame(both.front.half.identity.local.channel, FrameKind.DATA, b"x"))
            frame[4] = kind
            frame[7] += 1
            segment = Segment(outbound.position, 1, Lane.CONTROL, bytes(frame))
            if kind < FIRST_CONTROL:
                outbound.add(segment)
            both.executor.carrier.publish(both.executor.carrier.subjects.to(FRONT, Kind.LINK), bytes(frame))
            await both.settle(1)
            both.client.send(store(1, 5000))
            both.target.on_message = lambda message: both.target.send(response(message))
            await both.settle(30)
            assert both.client.received == both.target.sent
            assert outbound.idle
            both.client.release()
            await both.settle(30)
            both.assert_nothing_is_left()

    run(main())


def test_a_frame_of_another_major_version_is_dropped_with_what_stands_behind_it() -> None:
    async def main() -> None:
        async with joined() as both:
            channel = both.front.half.identity.local.channel
            foreign = bytearray(encode_frame(channel, FrameKind.ABORT, bytes(6)))
            foreign[7] += 0x10
            abort = encode_frame(
                channel, FrameKind.ABORT, bytes(2), encode_u32(both.executor.half.identity.local.channel)
            )
            subject = both.executor.carrier.subjects.to(FRONT, Kind.LINK)
            both.executor.carrier.publish(subject, bytes(foreign) + abort)
            await both.settle(5)
            assert both.client.aborts == []

    run(main())


def test_garbage_between_endpoints_is_dropped() -> None:
    async def main() -> None:
        async with joined() as both:
            channel = both.front.half.identity.local.channel
            subjects = [both.executor.carrier.subjects.to(FRONT, kind) for kind in Kind]
            subjects += [f"T.i.{FRONT.tokens}.unserved.{token}" for token in (channel, "x", "-1", "²")]
            for subject in subjects:
                for payload in (b"", b"\0", bytes(40), b"\xff" * 40, bytes(4) + b"{}", b"\x10\0\0\2{}"):
                    both.executor.carrier.publish(subject, payload)
            both.client.send(store(1, 5000))
            both.target.on_message = lambda message: both.target.send(response(message))
            await both.settle(5)
            assert both.client.received == both.target.sent
            both.client.release()
            await both.settle(30)
            both.assert_nothing_is_left()

    run(main())


def test_a_target_that_takes_nothing_holds_the_client_back_and_is_aborted_in_the_end() -> None:
    async def main() -> None:
        async with joined() as both:
            both.target.stall(stalled=True)
            for number in range(1, 200):
                both.client.send(store(number, 50_000))
            await both.settle(10)
            assert not both.client.connection.reading
            sender = both.front.half.sender
            assert sender.outbound.in_flight < SETTINGS.window + 512 * 1024
            await both.settle(60)
            assert both.client.aborts == [(2, 0)]
            assert both.executor.ended == ["peer-stalled"]
            both.target.transport.reset()
            await both.settle(30)
            both.assert_nothing_is_left()

    run(main())


def test_a_peer_with_too_many_operations_outstanding_is_not_read_until_some_are_answered() -> None:
    async def main() -> None:
        async with joined(settings=replace(SETTINGS, max_operations=2)) as both:
            for number in range(1, 5):
                both.client.send(request(Command.C_ECHO, number, VERIFICATION))
                await both.settle(1)
            assert both.target.received == both.client.sent[:2]
            for message in list(both.target.received):
                both.target.send(response(message))
            await both.settle(1)
            assert both.target.received == both.client.sent

    run(main())


def test_a_peer_that_owes_answers_is_read_whatever_it_has_outstanding() -> None:
    """A C-GET can't end before its client has answered the sub-operations."""

    async def main() -> None:
        async with joined(settings=replace(SETTINGS, max_operations=1)) as both:
            both.client.send(request(Command.C_ECHO, 1, VERIFICATION))
            await both.settle(1)
            both.target.send(request(Command.C_ECHO, 7, VERIFICATION))
            await both.settle(1)
            both.client.send(response(both.client.received[0]))
            await both.settle(1)
            assert both.target.received[-1] == both.client.sent[-1]

    run(main())


def test_a_peer_with_all_that_was_negotiated_outstanding_may_still_cancel_while_another_wants_the_process() -> (
    None
):
    async def main() -> None:
        async with joined() as both:
            other = both.front.router.new_connection(max_length=1000)
            both.front.router.shares.begin(other)
            both.client.send(FIND)
            await both.settle(0.1)
            both.front.router.shares.begin(other)
            both.client.send(cancel_rq(1, context_id=5))
            await both.settle(0.1)
            assert both.target.received == both.client.sent

    run(main())


def test_a_peer_that_had_too_many_operations_outstanding_rests_while_another_wants_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _set_clock(monkeypatch, lambda: 0.0)

    async def main() -> None:
        async with joined() as both:
            now = asyncio.get_running_loop().time
            other = both.front.router.new_connection(max_length=1000)
            for number in range(1, 5):
                both.client.send(request(Command.C_ECHO, number, VERIFICATION))
            both.front.router.shares.begin(other)
            await both.settle(0.01)
            assert len(both.target.received) == 2
            both.front.router.shares.begin(other)
            answered = now()
            for message in both.target.received[:2]:
                both.target.send(response(message))
            while len(both.target.received) == 2:
                await both.settle(0.002)
                assert now() < answered + 1
            assert now() >= answered + 0.01 * PAID_BACK - 0.001

    run(main())


@pytest.mark.parametrize("a_look", [0, 0.0001, 0.001])
def test_a_peer_gets_no_more_operations_under_way_than_its_share_while_another_wants_the_process(
    a_look: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than a few beyond what was negotiated, and what came in the turn that went beyond: on any machine.

    Args:
        a_look: seconds between two looks at the clock, so that a turn holds all that has come, or a part of it.
    """
    looks = count()
    _set_clock(monkeypatch, lambda: next(looks) * a_look)

    async def main() -> None:
        async with joined() as both:
            other = both.front.router.new_connection(max_length=1000)
            shares = both.front.router.shares
            shares.begin(other)
            for number in range(1, 21):
                both.client.send(request(Command.C_ECHO, number, VERIFICATION))
                await both.settle(LONGEST_HOLD / 25)
                shares.begin(other)
            assert both.target.received == both.client.sent[:2]
            for number in range(len(both.client.sent)):
                both.target.send(response(both.target.received[number]))
                await both.settle(1)
            assert both.target.received == both.client.sent
            assert both.client.received == both.target.sent

    run(main())


def test_a_peer_that_is_held_back_is_let_on_after_a_while_since_the_answer_may_wait_for_what_it_sends_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _set_clock(monkeypatch, lambda: 0.0)

    async def main() -> None:
        async with joined() as both:
            other = both.front.router.new_connection(max_length=1000)
            for number in range(1, 6):
                both.client.send(request(Command.C_ECHO, number, VERIFICATION))
            both.client.transport.feed_eof()
            both.front.router.shares.begin(other)
            await both.settle(LONGEST_HOLD / 2)
            assert len(both.target.received) == 2
            await both.settle(LONGEST_HOLD)
            assert len(both.target.received) == 3
            await both.settle(3 * LONGEST_HOLD)
            assert both.target.received == both.client.sent
            assert both.target.ended

    run(main())


def test_a_run_of_pending_responses_ends_with_the_turn_and_goes_on_in_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = count()
    _set_clock(monkeypatch, lambda: next(looks) * 0.01)  # a turn is over whenever somebody looks
    responses = 600

    async def main() -> None:
        async with joined(settings=replace(SETTINGS, chunk_size=1001)) as both:
            both.client.send(FIND)
            await both.settle(1)
            asked = both.target.received[0]
            pending = response(asked, 0xFF00, data=bytes(20))
            both.target.send(pending)
            await both.settle(1)
            turns, begin = 0, both.executor.router.shares.begin

            def counting(connection: object) -> float:
                nonlocal turns
                turns += 1
                return begin(connection)

            monkeypatch.setattr(time_shares.TimeShares, "begin", lambda _, connection: counting(connection))
            both.target.transport.feed(p_data(pending) * responses)
            both.target.sent += [pending] * responses
            await both.settle(30)
            assert both.client.received == both.target.sent
            assert turns > responses * len(p_data(pending)) / 1001

    run(main())
