"""How many associations each address and AE title holds, and how fast an address opens them."""

from __future__ import annotations

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
    assert [rate.exceeded("a") for _ in range(51)] == [False] * 50 + [True]
    assert not rate.exceeded("b"), "each address has its own"
    now += 1
    assert [rate.exceeded("a") for _ in range(11)] == [False] * 10 + [True]


def test_no_limit_is_none() -> None:
    rate = OpeningRate(per_second=0, at_once=1)
    assert not any(rate.exceeded("a") for _ in range(100))
