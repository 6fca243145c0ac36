"""How long a turn may last, alone and beside others."""

from __future__ import annotations

import gc

import pytest

from dimse_mesh.endpoint import time_shares
from dimse_mesh.endpoint.time_shares import (
    ADDRESS_SAVED,
    ADDRESS_SHARE,
    ALONE,
    LATELY,
    LEAST_CHARGED,
    NEWCOMERS_SAVED,
    NEWCOMERS_SHARE,
    PAID_BACK,
    SETTLED,
    SHARED,
    TimeShares,
)
from dimse_mesh.runtime.time_credit import SAVED, SHARE, TimeCredit
from tests.support.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(100.0)
    monkeypatch.setattr(time_shares, "perf_counter", clock)
    return clock


def test_a_connection_alone_has_long_turns(clock: Clock) -> None:
    shares, bulk = TimeShares(), object()
    for _ in range(3):
        assert shares.begin(bulk) == clock.now + ALONE
        assert not shares.contended(bulk)
        clock.now += 0.001


def test_turns_are_short_while_another_connection_has_turns(clock: Clock) -> None:
    shares, flood, honest = TimeShares(), object(), object()
    shares.begin(flood)
    assert shares.begin(honest) == clock.now + SHARED
    for _ in range(5):
        assert shares.begin(flood) == clock.now + SHARED
        assert shares.contended(flood)
        assert shares.contended(honest)
        clock.now += LATELY / 10


def test_turns_are_long_again_once_the_other_has_been_quiet(clock: Clock) -> None:
    shares, flood, honest = TimeShares(), object(), object()
    shares.begin(honest)
    shares.begin(flood)
    clock.now += LATELY * 1.01
    assert shares.begin(flood) == clock.now + ALONE
    assert not shares.contended(flood)
    assert shares.contended(honest)


def test_who_takes_too_long_again_and_again_beside_others_rests(clock: Clock) -> None:
    shares, flood, honest = TimeShares(), object(), object()

    def turn(seconds: float) -> float:
        until = shares.begin(flood)
        clock.now += seconds
        return shares.end(flood, until, TimeCredit(), 0)

    for _ in range(3):
        assert turn(0.01) == 0, "it is alone"
    shares.end(honest, shares.begin(honest), TimeCredit(), 0)
    assert turn(SHARED) == 0
    assert turn(0.01) == 0, "the machine may have been busy"
    assert turn(0.01) == pytest.approx(0.01 * PAID_BACK)
    assert turn(SHARED) == 0
    assert turn(0.01) == 0


def _takes(clock: Clock, shares: TimeShares, flood: object, credit: TimeCredit, size: int) -> float:
    """Let a connection have turn after turn for a second, and rest when it has to; return the time that it had."""
    begun, had = clock.now, 0.0
    while clock.now < begun + 1:
        until = shares.begin(flood)
        clock.now += SHARED
        had += SHARED
        clock.now += shares.end(flood, until, credit, size)
    return had


def test_who_has_turn_after_turn_for_few_bytes_gets_its_share_of_the_time_beside_others(clock: Clock) -> None:
    shares, flood, honest, credit = TimeShares(), object(), object(), TimeCredit()
    assert _takes(clock, shares, flood, credit, 3000) == pytest.approx(1, rel=0.01), "it is alone"
    shares.begin(honest)
    assert _takes(clock, shares, flood, credit, 3000) <= SAVED + SHARE * 1.35


def test_who_sends_images_as_fast_as_the_network_never_rests(clock: Clock) -> None:
    shares, images, honest, credit = TimeShares(), object(), object(), TimeCredit()
    shares.begin(honest)
    assert _takes(clock, shares, images, credit, 100_000) == pytest.approx(1, rel=0.01)


def test_a_machine_that_was_busy_in_a_turn_costs_a_connection_little(clock: Clock) -> None:
    shares, slow, honest, credit = TimeShares(), object(), object(), TimeCredit()
    shares.begin(honest)
    until = shares.begin(slow)
    clock.now += 0.3
    assert shares.end(slow, until, credit, 0) == 0


def _turn(clock: Clock, shares: TimeShares, who: object, credit: TimeCredit, seconds: float) -> float:
    until = shares.begin(who)
    clock.now += seconds
    return shares.end(who, until, credit, 0)


def test_newcomers_have_a_share_together_beside_a_settled_association(clock: Clock) -> None:
    shares, honest, credit = TimeShares(), object(), TimeCredit()
    for _ in range(1000):
        shares.newcomers_took(SHARED)
    assert shares.newcomers_rest() == 0, "nobody else wants the time"
    _turn(clock, shares, honest, credit, SHARED)
    clock.now += SETTLED
    _turn(clock, shares, honest, credit, SHARED)
    begun, had = clock.now, 0.0
    while clock.now < begun + 1:
        _turn(clock, shares, honest, credit, 0.0001)
        clock.now += shares.newcomers_rest()
        newcomer = object()
        until = shares.begin(newcomer)
        clock.now += SHARED
        had += SHARED
        shares.end(newcomer, until, TimeCredit(), 0, newcomer=True)
    assert had <= NEWCOMERS_SAVED + NEWCOMERS_SHARE * 1.2


def test_turns_that_take_next_to_nothing_are_charged_for_what_a_read_costs(clock: Clock) -> None:
    shares, honest = TimeShares(), object()
    dribbling = object(), TimeCredit()
    _turn(clock, shares, honest, TimeCredit(), 0.0001)
    turns, begun, resting = 0, clock.now, 0.0
    while clock.now < begun + 1:
        _turn(clock, shares, honest, TimeCredit(), 0.00001)
        if resting <= clock.now:
            resting = clock.now + _turn(clock, shares, *dribbling, 0.0)
            turns += 1
    assert SHARE / LEAST_CHARGED * 0.8 < turns <= (SAVED + SHARE * 1.1) / LEAST_CHARGED


def test_who_associates_anew_each_time_is_not_settled(clock: Clock) -> None:
    shares = TimeShares()
    for _ in range(100):
        _turn(clock, shares, object(), TimeCredit(), SHARED)
        shares.newcomers_took(SHARED)
        clock.now += SETTLED / 10
    assert shares.newcomers_rest() == 0


def test_the_connections_of_an_address_have_half_of_the_time_together_beside_another_one(
    clock: Clock,
) -> None:
    shares = TimeShares()
    flood = [(object(), TimeCredit()) for _ in range(20)]
    honest = object(), TimeCredit()
    for _, credit in flood:
        credit.address = shares.of_address("10.0.0.1")
    honest[1].address = shares.of_address("10.0.0.2")
    resting = [0.0] * len(flood)
    begun, had = clock.now, 0.0
    while clock.now < begun + 1:
        clock.now += _turn(clock, shares, *honest, 0.0001)
        for number, (connection, credit) in enumerate(flood):
            if resting[number] <= clock.now:
                had += SHARED
                resting[number] = clock.now + _turn(clock, shares, connection, credit, SHARED)
                resting[number] = max(resting[number], clock.now)
    assert 0.4 < had <= ADDRESS_SAVED + ADDRESS_SHARE * 1.2 + len(flood) * SHARED


def test_a_credit_of_an_address_goes_with_its_last_connection() -> None:
    shares, credit = TimeShares(), TimeCredit()
    credit.address = shares.of_address("10.0.0.1")
    assert shares.of_address("10.0.0.1") is credit.address
    assert len(shares._addresses) == 1
    del credit
    gc.collect()
    assert len(shares._addresses) == 0
