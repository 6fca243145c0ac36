"""A peer that closes its connection at any byte: what it sent before arrives, then the close; answers still come."""

from __future__ import annotations

import weakref
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.endpoint.conversations import Ask, Client, Target, asks
from tests.support.wire import Command, Message, p_data
from tests.unit.endpoint.channel import Faults
from tests.unit.endpoint.joined import SETTINGS, Joined, assert_collected, joined
from tests.unit.endpoint.peers import MemoryPeer
from tests.unit.endpoint.virtual_time import run

faults = st.builds(
    Faults,
    loss=st.sampled_from([0.0, 0.1]),
    doubling=st.sampled_from([0.0, 0.2]),
    delay=st.sampled_from([0.0, 0.5]),
    refusal=st.sampled_from([0.0, 0.3]),
)
without_sub_operations = st.lists(asks.filter(lambda ask: ask.kind != Command.C_GET), min_size=1, max_size=4)
tls = st.tuples(st.booleans(), st.booleans())

PATIENT = replace(SETTINGS, artim_timeout=250.0)
"""What is lost several times is not taken for a peer that doesn't close."""


class Cut:
    """Lets a peer send so many bytes, then closes its connection."""

    def __init__(self, peer: MemoryPeer, size: int, *, reset: bool) -> None:
        self._peer = peer
        self._left = size
        self._reset = reset
        self._feed = peer.transport.feed
        peer.transport.feed = self.feed  # type: ignore[method-assign]

    def feed(self, data: bytes) -> None:
        if self._left < 0:
            return
        self._feed(data[: self._left])
        self._left -= len(data)
        if self._left <= 0:
            self._left = -1
            if self._reset:
                self._peer.transport.reset()
            else:
                self._peer.transport.feed_eof()


def whole_within(messages: list[Message], size: int) -> int:
    """Return how many messages lie wholly in the first bytes of what a peer sends."""
    count = 0
    for message in messages:
        size -= len(p_data(message, max_pdu=16384))
        if size < 0:
            break
        count += 1
    return count


@settings(max_examples=80)
@given(
    conversation=st.lists(asks, min_size=1, max_size=4),
    by_client=st.booleans(),
    reset=st.booleans(),
    size=st.integers(1, 400) | st.integers(1, 60_000),
    bad=faults,
    encrypted=tls,
    seed=st.integers(0, 2**32),
)
def test_what_was_sent_before_a_close_at_any_byte_arrives(
    *,
    conversation: list[Ask],
    by_client: bool,
    reset: bool,
    size: int,
    bad: Faults,
    encrypted: tuple[bool, bool],
    seed: int,
) -> None:
    async def main() -> list[weakref.ref[Any]]:
        async with joined(random=Random(seed), faults=bad, settings=PATIENT, tls=encrypted) as both:
            ending, other = (both.client, both.target) if by_client else (both.target, both.client)
            Cut(ending, size, reset=reset)
            Target(both.target, conversation).start()
            Client(both.client, conversation, at_once=True, release=False).start()
            await both.settle(300)
            if sum(len(p_data(message)) for message in ending.sent) < size:
                ending.transport.feed_eof()
                await both.settle(300)
            assert (both.client.aborts, both.target.aborts) == ([], [])
            assert both.client.closed
            assert both.target.closed
            arrived = len(other.received)
            assert other.received == ending.sent[:arrived]
            if reset:
                assert arrived <= whole_within(ending.sent, size)
            else:
                assert arrived == whole_within(ending.sent, size)
            both.assert_nothing_is_left()
            return [weakref.ref(end.peer) for end in both.ends]

    assert_collected(run(main()))


async def ended(both: Joined) -> None:
    """Wait until the target is told that nothing more comes, however often that is lost on its way."""
    for _ in range(60):
        await both.settle(1)
        if both.target.ended:
            return
    raise AssertionError("the target was not told")


@settings(max_examples=80)
@given(
    conversation=without_sub_operations,
    bad=faults,
    target_tls=st.booleans(),
    released=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_a_client_that_sends_no_more_still_gets_its_answers(
    *, conversation: list[Ask], bad: Faults, target_tls: bool, released: bool, seed: int
) -> None:
    """It says so behind its last request, or behind its A-RELEASE-RQ."""

    async def main() -> None:
        async with joined(random=Random(seed), faults=bad, settings=PATIENT, tls=(False, target_tls)) as both:
            both.target.closes_at_eof = False
            Target(both.target, conversation).start()
            Client(both.client, conversation, at_once=True, release=False).start()
            if released:
                both.client.release()
            both.client.transport.feed_eof()
            if not released and not target_tls:
                await ended(both)
                both.target.transport.feed_eof()
            await both.settle(300)
            assert both.target.received == both.client.sent
            assert both.client.received == both.target.sent
            assert (both.client.aborts, both.target.aborts) == ([], [])
            assert both.client.released is released
            assert both.client.closed
            assert both.target.closed
            both.assert_nothing_is_left()

    run(main())
