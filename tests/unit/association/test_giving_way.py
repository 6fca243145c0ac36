"""How long a durable store pauses for live traffic beside it."""

from __future__ import annotations

import asyncio

import pytest

from dimse_mesh.association.giving_way import GAIN, LEAST_PAUSE, LONGEST_PAUSE, MOST, SLICE, GivingWay


class Day:
    """A clock, the time that live associations took, and the pauses."""

    def __init__(self) -> None:
        self.now = self.live = 0.0
        self.pauses: list[float] = []
        self.giving_way = GivingWay(lambda: self.live, clock=lambda: self.now, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        self.live += seconds  # it has the process to itself meanwhile

    def work(self, seconds: float, *, live: float = 0.0) -> None:
        """Work for so long, while live associations take `live` seconds, and look."""
        self.now += seconds
        self.live += live
        asyncio.run(self.giving_way.look())


@pytest.mark.parametrize(
    ("live", "pause"),
    [(0.0, []), (LEAST_PAUSE / GAIN / 2, []), (0.0001, [0.0001 * GAIN]), (0.01, [0.01 * MOST])],
    ids=["alone", "beside next to nothing", "beside a few", "beside many"],
)
def test_it_pauses_by_the_time_that_live_associations_took(live: float, pause: list[float]) -> None:
    day = Day()
    day.work(0.01, live=live)
    assert day.pauses == pytest.approx(pause)


def test_what_they_take_while_it_pauses_or_rests_does_not_count() -> None:
    day = Day()
    day.work(0.01, live=0.01)
    day.work(0.01)
    assert len(day.pauses) == 1
    day.now += 100
    day.live += 50
    day.giving_way.begin()
    day.work(0.01)
    assert len(day.pauses) == 1


def test_an_outage_of_nats_is_no_work_to_pause_for() -> None:
    day = Day()
    day.work(30.0, live=0.3)
    assert day.pauses == [LONGEST_PAUSE]


def test_it_looks_after_a_slice_of_work() -> None:
    day = Day()
    day.work(SLICE / 2, live=SLICE / 4)
    assert day.pauses == []
    day.work(SLICE / 2, live=SLICE / 4)
    assert day.pauses == pytest.approx([SLICE * MOST])
