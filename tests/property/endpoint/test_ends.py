"""However and whenever an association ends: both peers learn it, no half message counts, nothing remains."""

from __future__ import annotations

import weakref
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.endpoint.conversations import Ask, Client, Target, asks
from tests.unit.endpoint.channel import Faults
from tests.unit.endpoint.joined import EXECUTOR, SETTINGS, Joined, assert_collected, joined
from tests.unit.endpoint.virtual_time import run

faults = st.builds(
    Faults,
    loss=st.sampled_from([0.0, 0.1]),
    doubling=st.sampled_from([0.0, 0.2]),
    delay=st.sampled_from([0.0, 0.5]),
    refusal=st.sampled_from([0.0, 0.3]),
)


def end(both: Joined, how: str) -> None:
    """Let one thing go wrong."""
    match how:
        case "client aborts":
            both.client.abort()
        case "target aborts":
            both.target.abort(2, 3)
        case "client closes":
            both.client.transport.feed_eof()
        case "target is reset":
            both.target.transport.reset()
        case "client sends garbage":
            both.client.transport.feed(b"GET / HTTP/1.1\r\n\r\n")
        case "target sends garbage":
            both.target.transport.feed(b"\x04\0\0\0\0\x04\0\0\0\x09")
        case "executor dies":
            both.channel.interests[:] = [
                i for i in both.channel.interests if f".i.{EXECUTOR.tokens}." not in i.subject
            ]
            both.front.carrier.hear_of_death(EXECUTOR)
        case "front-end stops":
            both.front.half.abort("instance-stops")


ENDS = (
    "client aborts",
    "target aborts",
    "client closes",
    "target is reset",
    "client sends garbage",
    "target sends garbage",
    "front-end stops",
)


@pytest.mark.parametrize("how", ENDS)
@settings(max_examples=25)
@given(
    conversation=st.lists(asks, min_size=1, max_size=4),
    bad=faults,
    seed=st.integers(0, 2**32),
    turns=st.integers(0, 400),
    seconds=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_both_peers_learn_of_an_end_at_any_moment(
    *, how: str, conversation: list[Ask], bad: Faults, seed: int, turns: int, seconds: float
) -> None:
    async def main() -> list[weakref.ref[Any]]:
        patient = replace(SETTINGS, artim_timeout=150.0)
        async with joined(random=Random(seed), faults=bad, settings=patient) as both:
            client, target = both.client, both.target
            Target(target, conversation).start()
            Client(client, conversation, at_once=True, release=False).start()
            await both.settle(seconds)
            for _ in range(turns):
                await both.settle_once()
            end(both, how)
            await both.settle(200)
            assert client.closed
            assert target.closed
            if how in ("client aborts", "front-end stops"):
                assert len(target.aborts) == 1
            if how in ("target aborts", "front-end stops"):
                assert len(client.aborts) == 1
            if how in ("client closes", "target is reset"):
                assert (client.aborts, target.aborts) == ([], [])
            assert target.received == client.sent[: len(target.received)]
            assert client.received == target.sent[: len(client.received)]
            both.assert_nothing_is_left()
            return [weakref.ref(one.peer) for one in both.ends]

    assert_collected(run(main()))


@settings(max_examples=25)
@given(
    conversation=st.lists(asks, min_size=1, max_size=4), seed=st.integers(0, 2**32), turns=st.integers(0, 200)
)
def test_a_client_learns_that_the_executor_has_died(
    *, conversation: list[Ask], seed: int, turns: int
) -> None:
    async def main() -> None:
        async with joined(random=Random(seed)) as both:
            Target(both.target, conversation).start()
            Client(both.client, conversation, at_once=True, release=False).start()
            for _ in range(turns):
                await both.settle_once()
            end(both, "executor dies")
            await both.settle(30)
            assert both.client.aborts == [(2, 0)]
            assert both.client.closed
            assert len(both.front.router) == 0
            assert both.front.router.budget.used == 0
            assert both.front.router.remembers_nothing

    run(main())


@settings(max_examples=40)
@given(
    conversation=st.lists(asks, min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
    outages=st.lists(
        st.tuples(st.sampled_from([0.0, 0.01, 0.5]), st.sampled_from([0.1, 3.0, 8.0])), min_size=1, max_size=3
    ),
    bad=faults,
)
def test_an_outage_within_the_deadline_is_nothing_but_a_pause(
    *, conversation: list[Ask], seed: int, outages: list[tuple[float, float]], bad: Faults
) -> None:
    async def main() -> None:
        half_settings = replace(SETTINGS, deadline=300.0)
        async with joined(random=Random(seed), faults=bad, settings=half_settings) as both:
            Target(both.target, conversation).start()
            Client(both.client, conversation, at_once=True).start()
            for before, length in outages:
                await both.settle(before)
                both.channel.cut()
                await both.settle(length)
                both.channel.cut(connected=True)
            await both.settle(1000)
            assert both.target.received == both.client.sent
            assert both.client.received == both.target.sent
            assert both.client.released
            both.assert_nothing_is_left()

    run(main())
