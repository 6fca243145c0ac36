"""Small segments cost more than their bytes: limits count what they take."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from dimse_mesh.schemas.frames import FrameKind
from dimse_mesh.streams import inbound as inbound_module
from dimse_mesh.streams.congestion import CongestionWindow, Timer
from dimse_mesh.streams.inbound import Arrival, Inbound, WindowOverrun
from dimse_mesh.streams.outbound import MOST_SEGMENTS, SEGMENT_COST, Budget, Lane, Outbound, Segment


class StoppedClock:
    """A clock that stands still."""

    def time(self) -> float:
        return 0.0

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        raise AssertionError((delay, callback))


def _fill(outbound: Outbound) -> int:
    """Send commands of 20 bytes until it is enough; return how many were sent."""
    for number in count():
        if outbound.in_flight and outbound.exhausted:
            return number
        outbound.add(Segment(outbound.position, 20, Lane.CONTROL, bytes(20)))
    raise AssertionError


def _outbound(budget: Budget) -> Outbound:
    outbound = Outbound(8 << 20, budget)
    outbound.open(8 << 20, CongestionWindow(StoppedClock()))
    return outbound


def test_an_association_has_a_bounded_number_of_commands_in_flight() -> None:
    assert _fill(_outbound(Budget(1 << 40))) == MOST_SEGMENTS


def test_many_associations_with_small_commands_are_held_to_a_fair_share_of_the_memory() -> None:
    budget = Budget(64 << 20)
    associations = [_outbound(budget) for _ in range(200)]
    for outbound in associations:
        _fill(outbound)
    taken = budget.used + budget.segments * SEGMENT_COST
    assert (
        budget.limit < taken < budget.limit + (200 * Budget.FAIR_SHARE) + MOST_SEGMENTS * (SEGMENT_COST + 20)
    )
    for outbound in associations:
        outbound.close()
    assert (budget.used, budget.segments) == (0, 0)


def test_pieces_beyond_what_anybody_sends_end_the_association(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound_module, "MOST_ARRIVALS", 10)
    inbound = Inbound(1 << 20, slack=0, owing=1)
    for position in range(10):
        assert inbound.accept(Arrival(position, 1, FrameKind.DATA, 0, 0, memoryview(b"x")))
    with pytest.raises(WindowOverrun):
        inbound.accept(Arrival(10, 1, FrameKind.DATA, 0, 0, memoryview(b"x")))
    inbound.consumed_next()
    assert inbound.accept(Arrival(10, 1, FrameKind.DATA, 0, 0, memoryview(b"x")))


@pytest.mark.parametrize("how", ["early", "behind each other", "skipped"])
def test_a_tiny_segment_holds_no_message(how: str) -> None:
    inbound = Inbound(1 << 20, slack=0, owing=1)
    for position in range(10):
        payload = memoryview(bytes(500_000) + bytes((position,)))[-1:]
        if how == "skipped":
            assert inbound.skip(position, 1, payload)
        else:
            at = 9 - position if how == "early" else position
            assert inbound.accept(Arrival(at, 1, FrameKind.DATA, 0, 0, payload))
    written = []
    while (arrival := inbound.next_segment) is not None:
        assert memoryview(arrival.payload.obj).nbytes == 1
        written.append(arrival.payload[0])
        inbound.consumed_next()
    assert sorted(written) == list(range(10))
    assert inbound.consumed == 10


def test_what_is_most_of_its_message_stays_there() -> None:
    inbound = Inbound(1 << 20, slack=0, owing=1)
    request, chunk = memoryview(bytes(1000))[600:], memoryview(bytes(100_000))[28:]
    assert inbound.accept(Arrival(0, len(request), FrameKind.MESSAGE, 0, 0, request))
    assert inbound.accept(Arrival(len(request), len(chunk), FrameKind.DATA, 0, 0, chunk))
    for payload in (request, chunk):
        arrival = inbound.next_segment
        assert arrival is not None
        assert arrival.payload.obj is payload.obj
        inbound.consumed_next()
