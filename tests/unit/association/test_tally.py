"""How many associations each address and AE title holds, and how fast an address opens them."""

from __future__ import annotations

import tracemalloc

from dimse_mesh.association.tally import OpeningRate, Tally
from dimse_mesh.runtime.settings_limits import AssociationLimits


def test_associations_are_counted_by_address_and_titles() -> None:
    tally = Tally(AssociationLimits())
    leave = tally.enter("10.0.0.1", "CT", "PACS")
    tally.enter("10.0.0.1", "MR", "PACS")
    assert (tally.from_address("10.0.0.1"), tally.of_calling_ae("CT"), tally.to_called_ae("PACS")) == (
        2,
        1,
        2,
    )
    leave()
    leave()
    assert (tally.from_address("10.0.0.1"), tally.of_calling_ae("CT"), tally.to_called_ae("PACS")) == (
        1,
        0,
        1,
    )
    assert tally.occupancy.count == 1


def test_a_burst_is_let_in_and_then_so_many_a_second() -> None:
    now = 100.0
    rate = OpeningRate(per_second=10, at_once=50, clock=lambda: now)
    assert [opened(rate, "a") for _ in range(51)] == [True] * 50 + [False]
    assert opened(rate, "b"), "each address has its own"
    now += 1
    assert [opened(rate, "a") for _ in range(11)] == [True] * 10 + [False]


def opened(rate: OpeningRate, key: str) -> bool:
    if rate.exceeded(key):
        return False
    rate.count(key)
    return True


def test_who_asks_too_fast_gets_what_it_may_have_all_the_same() -> None:
    now = 100.0
    rate = OpeningRate(per_second=10, at_once=1, clock=lambda: now)
    let_in = 0
    for _ in range(1000):
        let_in += opened(rate, "a")
        now += 0.01
    assert 90 <= let_in <= 101


def test_no_limit_is_none() -> None:
    rate = OpeningRate(per_second=0, at_once=1)
    assert all(opened(rate, "a") for _ in range(100))


def test_a_new_title_for_each_opening_takes_bounded_memory_and_forgets_none_that_is_used_up() -> None:
    now = 100.0
    rate = OpeningRate(per_second=1, at_once=100, clock=lambda: now)
    used_up = [f"CT{number}" for number in range(10)]
    for title in used_up:
        assert all(opened(rate, title) for _ in range(100))
    tracemalloc.start()
    try:
        for number in range(5_000):
            assert opened(rate, f"X{number}")
        before, _ = tracemalloc.get_traced_memory()
        for number in range(5_000, 50_000):
            assert opened(rate, f"X{number}")
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 500_000
    assert not any(opened(rate, title) for title in used_up)


def test_titles_are_charged_for_those_let_in_and_addresses_for_those_that_ask() -> None:
    tally = Tally(
        AssociationLimits(
            openings_at_once=3,
            openings_per_second=1,
            calling_ae_openings_at_once=1,
            calling_ae_openings_per_second=1,
            called_ae_openings_at_once=2,
            called_ae_openings_per_second=1,
        )
    )
    assert not any(tally.address_too_fast("10.0.0.1") for _ in range(3))
    assert tally.address_too_fast("10.0.0.1")
    assert not tally.calling_ae_too_fast("CT")
    tally.let_in("CT", "PACS")
    assert tally.calling_ae_too_fast("CT")
    assert not tally.called_ae_too_fast("PACS")
    tally.let_in("MR", "PACS")
    assert tally.called_ae_too_fast("PACS")
    assert not tally.calling_ae_too_fast("US")
