"""Two ends of a link back to back over a bad channel: what goes in on one side comes out on the other."""

from __future__ import annotations

import weakref
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.endpoint.conversations import Ask, Client, Target, asks
from tests.unit.endpoint.channel import Faults
from tests.unit.endpoint.joined import SETTINGS, assert_collected, joined
from tests.unit.endpoint.virtual_time import run

max_pdus = st.sampled_from([0, 64, 128, 1000, 16384, 131072])
faults = st.builds(
    Faults,
    loss=st.sampled_from([0.0, 0.0, 0.05, 0.3]),
    doubling=st.sampled_from([0.0, 0.2]),
    delay=st.sampled_from([0.0, 0.0, 0.2, 3.0]),
    refusal=st.sampled_from([0.0, 0.0, 0.3]),
)
fragment_sizes = st.none() | st.lists(st.integers(1, 3000), min_size=1, max_size=4)


@settings(max_examples=150)
@given(
    conversation=st.lists(asks, max_size=6),
    at_once=st.booleans(),
    bad=faults,
    limits=st.tuples(max_pdus, max_pdus),
    sizes=st.tuples(fragment_sizes, fragment_sizes),
    seed=st.integers(0, 2**32),
    window=st.sampled_from([4000, 16384, 65536]),
    encrypted=st.booleans(),
)
def test_every_message_arrives_once_in_order_and_nothing_remains(
    *,
    conversation: list[Ask],
    at_once: bool,
    bad: Faults,
    limits: tuple[int, int],
    sizes: tuple[list[int] | None, list[int] | None],
    seed: int,
    window: int,
    encrypted: bool,
) -> None:
    async def main() -> list[weakref.ref[Any]]:
        half_settings = replace(SETTINGS, window=window)
        async with joined(
            random=Random(seed),
            faults=bad,
            settings=half_settings,
            max_pdus=limits,
            encrypted=encrypted,
        ) as both:
            client, target = both.client, both.target
            client.sizes, target.sizes = sizes
            Target(target, conversation).start()
            Client(client, conversation, at_once=at_once).start()
            await both.settle(20_000)
            assert target.received == client.sent
            assert client.received == target.sent
            assert (client.aborts, target.aborts) == ([], [])
            assert client.released
            assert target.released
            assert client.closed
            assert target.closed
            for peer, limit in zip((client, target), limits, strict=True):
                assert not limit or peer.longest_pdu <= limit
            both.assert_nothing_is_left()
            return [weakref.ref(end.peer) for end in both.ends]

    assert_collected(run(main()))
