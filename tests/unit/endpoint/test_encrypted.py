"""An encrypted association on a bus that changes, repeats, drops or makes up what it carries: it ends, with a name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dimse_mesh.mesh import Message as BusMessage
from dimse_mesh.schemas.frames import FrameKind, encode_frame, encode_u64, iter_frames, message_payload
from dimse_mesh.schemas.subjects import Kind
from tests.support.wire import Message, response, store_rq
from tests.unit.endpoint.joined import Joined, joined
from tests.unit.endpoint.virtual_time import run

SECRET = b"PATIENT^NAME"
INLINE, CHUNKED = 200, 5000


def store(message_id: int, size: int) -> Message:
    return store_rq(message_id, f"1.2.{message_id}", (SECRET * size)[:size], context_id=3)


def answer_all(both: Joined) -> None:
    target = both.target
    target.on_message = lambda message: target.send(response(message))


def carried(change: Callable[[Joined, BusMessage], BusMessage], size: int) -> Joined:
    """Store two objects while the bus makes something else of the messages that it carries."""

    async def main() -> Joined:
        async with joined(encrypted=True) as both:
            answer_all(both)
            both.channel.changes = lambda message: change(both, message)
            both.client.send(store(1, size))
            await both.settle(100)
            both.client.send(store(2, size))
            await both.settle(100)
            return both

    return run(main())


@pytest.mark.parametrize("size", [0, INLINE, CHUNKED])
def test_what_is_not_changed_arrives_and_nothing_is_read(size: int) -> None:
    read: list[bytes] = []

    def look(_: Joined, message: BusMessage) -> BusMessage:
        read.append(message.payload)
        return message

    both = carried(look, size)
    assert [message.data for message in both.target.received] == [store(1, size).data, store(2, size).data]
    assert not any(SECRET in payload for payload in read)


def with_payload(message: BusMessage, payload: bytes) -> BusMessage:
    return BusMessage(message.subject, message.reply, payload, message.headers)


def _flip(payload: bytes, at: int) -> bytes:
    changed = bytearray(payload)
    changed[at] ^= 1
    return bytes(changed)


def broken(both: Joined) -> None:
    """Both peers were aborted, and the side that noticed has counted it by its name."""
    assert both.client.aborts or both.target.aborts
    assert sum(end.counters.protocol_errors.get("encryption-broken", 0) for end in both.ends) == 1
    assert ["encryption-broken"] in [end.ended for end in both.ends]


@pytest.mark.parametrize(("size", "word"), [(INLINE, "op"), (CHUNKED, "op"), (CHUNKED, "data")])
@pytest.mark.parametrize("at", [-1, -17])
def test_a_changed_byte_ends_the_association(size: int, word: str, at: int) -> None:
    def change(_: Joined, message: BusMessage) -> BusMessage:
        if f".{word}." not in message.subject:
            return message
        return with_payload(message, _flip(message.payload, at))

    both = carried(change, size)
    broken(both)
    assert all(SECRET not in (message.data or b"") for message in both.target.received)


def test_a_changed_status_ends_the_association() -> None:
    """The command set of a response isn't secret, but nobody changes it."""

    def change(_: Joined, message: BusMessage) -> BusMessage:
        if ".front." not in message.subject or ".link." not in message.subject:
            return message
        frames = [
            (frame, _flip(bytes(frame.payload), -17))
            for frame in iter_frames(message.payload)
            if frame.kind == 1
        ]
        if not frames:
            return message
        made = [
            encode_frame(
                frame.channel,
                FrameKind.MESSAGE,
                payload,
                position=frame.position,
                flags=frame.flags,
                context_id=frame.context_id,
                acknowledged=frame.acknowledged,
            )
            for frame, payload in frames
        ]
        return with_payload(message, b"".join(made))

    both = carried(change, INLINE)
    broken(both)
    assert both.client.received == []


def test_chunks_that_change_places_end_the_association() -> None:
    held: list[bytes] = []

    def change(_: Joined, message: BusMessage) -> BusMessage:
        if ".data." not in message.subject:
            return message
        frames = [frame for frame in iter_frames(message.payload) if frame.kind == FrameKind.DATA]
        held.extend(bytes(frame.payload) for frame in frames)
        if len(held) < 2:
            return message
        made = [
            encode_frame(
                frame.channel,
                FrameKind.DATA,
                held[0],
                position=frame.position,
                flags=frame.flags,
                context_id=frame.context_id,
            )
            for frame in frames
        ]
        return with_payload(message, b"".join(made))

    broken(carried(change, CHUNKED))


def test_a_plain_message_from_the_bus_ends_the_association() -> None:
    async def main() -> None:
        async with joined(encrypted=True) as both:
            answer_all(both)
            answer = response(store(1, 0))
            forged = encode_frame(
                both.front.half.identity.local.channel,
                FrameKind.MESSAGE,
                *message_payload(answer.command),
                flags=1,
                context_id=3,
            )
            both.executor.carrier.publish(
                both.executor.carrier.subjects.to(both.front.carrier.address, Kind.LINK), forged
            )
            await both.settle(10)
            broken(both)
            assert both.client.received == []

    run(main())


def test_a_cancel_from_the_bus_hides_nothing() -> None:
    """A CANCEL in the place of a response: unsealed, it ends the association."""

    async def main() -> None:
        async with joined(encrypted=True) as both:
            forged = encode_frame(
                both.front.half.identity.local.channel, FrameKind.CANCEL, encode_u64(100), position=0
            )
            both.executor.carrier.publish(
                both.executor.carrier.subjects.to(both.front.carrier.address, Kind.LINK), forged
            )
            await both.settle(10)
            broken(both)

    run(main())
