"""Outbound against Inbound: whatever happens to segments on their way, they come out once, in order, within bounds."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dimse_mesh.schemas.frames import FrameKind
from dimse_mesh.streams.inbound import Arrival, Inbound
from dimse_mesh.streams.outbound import Budget, Lane, Outbound, Segment

WINDOW = 100
LARGEST = 40


class OrderAndCredit(RuleBasedStateMachine):
    """The channel is a bag: any message in it may arrive next, arrive again, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(10_000)
        self.outbound = Outbound(WINDOW, self.budget)
        self.inbound = Inbound(WINDOW, slack=LARGEST, owing=WINDOW // 4)
        self.bag: list[Segment] = []
        self.acks: list[tuple[int, int]] = []
        self.sent: dict[int, Segment] = {}
        """By position."""
        self.skips: dict[int, Segment] = {}
        self.aborted = False
        """A CANCEL came too late: the association would end."""
        self.came_out: list[Arrival] = []

    def _arrive(self, segment: Segment) -> None:
        if self.aborted:
            return
        if segment is not self.skips.get(segment.position):
            self.inbound.accept(
                Arrival(segment.position, segment.length, FrameKind.DATA, 0, 0, memoryview(segment.payload))
            )
        elif not self.inbound.skip(segment.position, segment.length, memoryview(b"")):
            assert segment.position < self.inbound.received < segment.position + segment.length
            self.aborted = True

    @precondition(lambda self: not self.outbound.exhausted)
    @rule(length=st.integers(1, LARGEST))
    def send(self, length: int) -> None:
        segment = Segment(self.outbound.position, length, Lane.CONTROL, b"data")
        self.outbound.add(segment)
        self.sent[segment.position] = segment
        self.bag.append(segment)

    @precondition(lambda self: self.bag)
    @rule(data=st.data(), keep=st.booleans())
    def deliver(self, data: st.DataObject, *, keep: bool) -> None:
        index = data.draw(st.integers(0, len(self.bag) - 1))
        self._arrive(self.bag[index] if keep else self.bag.pop(index))

    @precondition(lambda self: self.bag)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.bag.pop(data.draw(st.integers(0, len(self.bag) - 1)))

    @rule()
    def send_again(self) -> None:
        self.bag.extend(self.outbound.unreceived())

    @rule(count=st.integers(1, 5))
    def consume(self, count: int) -> None:
        for _ in range(count):
            arrival = self.inbound.next_segment
            if arrival is None:
                break
            self.came_out.append(arrival)
            self.inbound.consumed_next()

    @rule()
    def acknowledge(self) -> None:
        self.acks.append((self.inbound.consumed, self.inbound.received))

    @precondition(lambda self: self.acks)
    @rule(data=st.data(), keep=st.booleans())
    def deliver_acknowledgement(self, data: st.DataObject, *, keep: bool) -> None:
        index = data.draw(st.integers(0, len(self.acks) - 1))
        consumed, received = self.acks[index] if keep else self.acks.pop(index)
        self.outbound.acknowledge(consumed=consumed, received=received)

    @rule(data=st.data())
    def skip(self, data: st.DataObject) -> None:
        """Skip what the other side has not said that it received."""
        skippable = [s for s in self.outbound.unreceived() if s.position >= self.outbound.received]
        if not skippable:
            return
        first = data.draw(st.integers(0, len(skippable) - 1))
        last = data.draw(st.integers(first, min(len(skippable) - 1, first + 3)))
        chosen = skippable[first : last + 1]
        if any(s.position in self.skips for s in chosen):
            return
        start, end = chosen[0].position, chosen[-1].position + chosen[-1].length
        by = self.skips[start] = Segment(start, end - start, Lane.CONTROL, b"")
        self.outbound.replace(start, end, by)
        self.bag.append(by)

    @invariant()
    def what_came_out_is_what_was_sent_or_skipped_once_and_in_order(self) -> None:
        position = 0
        for arrival in self.came_out:
            assert arrival.position == position
            origin = self.skips if arrival.kind == FrameKind.CANCEL else self.sent
            assert origin[position].length == arrival.length
            position += arrival.length

    @invariant()
    def neither_side_holds_more_than_was_agreed(self) -> None:
        held = sum(a.length for a in self.inbound._ready) + sum(
            a.length for a in self.inbound._early.values()
        )
        assert held <= WINDOW + LARGEST
        assert self.outbound.in_flight < WINDOW + LARGEST
        assert self.budget.used == self.outbound.in_flight
        assert self.budget.segments == len(self.outbound._segments)
        assert all(position > self.inbound.received for position in self.inbound._early)
        early = sum(a.length for a in self.inbound._early.values())
        assert self.inbound.arrived == self.inbound.received + early

    def teardown(self) -> None:
        """With a channel that works again everything arrives, and nothing is held."""
        for _ in range(3):
            self.outbound.acknowledge(consumed=self.inbound.consumed, received=self.inbound.received)
            for segment in list(self.outbound.unreceived()):
                self._arrive(segment)
            self.consume(len(self.sent) + 1)
        self.what_came_out_is_what_was_sent_or_skipped_once_and_in_order()
        if self.aborted:
            return
        self.outbound.acknowledge(consumed=self.inbound.consumed, received=self.inbound.received)
        assert self.outbound.idle
        assert not self.outbound._segments
        assert not self.inbound._ready
        assert not self.inbound._early


TestOrderAndCredit = OrderAndCredit.TestCase
TestOrderAndCredit.settings = settings(max_examples=60, stateful_step_count=40)
