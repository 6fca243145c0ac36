"""TLS mistakes: each is counted, a peer's repeated one is told once a minute, and every code has a cure."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest

from dimse_mesh.endpoint.tls_trouble import (
    MAX_REMEMBERED,
    QUIET_SECONDS,
    TlsSide,
    TlsTrouble,
    TlsTroubles,
    cure,
    trouble_of,
)
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.runtime.logging import MAX_TEXT
from tests.support.clock import Clock


def noted(log: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [record.__dict__["fields"] for record in log.records]


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def note(counters: Counters, clock: Clock) -> Callable[..., None]:
    return TlsTroubles(counters, TlsSide.LISTENER, clock=clock).note


def test_repeated_mistake_is_told_once_a_minute_and_counted_each_time(
    note: Callable[..., None], counters: Counters, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        note("10.0.0.5", 2762, TlsTrouble.PLAIN_PEER)
    clock.now += QUIET_SECONDS
    note("10.0.0.5", 2762, TlsTrouble.PLAIN_PEER)
    first, second = noted(caplog)
    assert (first["peer"], first["port"], first["code"]) == ("10.0.0.5", 2762, "plain-peer")
    assert "untold" not in first
    assert second["untold"] == 4
    assert counters.tls_troubles["listener", "plain-peer"] == 6
    assert counters.tls_troubles["listener", "expired-certificate"] == 0


def test_other_peers_ports_and_mistakes_are_told_too(
    note: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    note("10.0.0.5", 2762, TlsTrouble.PLAIN_PEER)
    note("10.0.0.6", 2762, TlsTrouble.PLAIN_PEER)
    note("10.0.0.5", 2763, TlsTrouble.PLAIN_PEER)
    note("10.0.0.5", 2762, TlsTrouble.EXPIRED)
    assert len(noted(caplog)) == 4


def test_peers_without_end_are_not_remembered_without_end(
    note: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(MAX_REMEMBERED + 1):
        note(f"peer {number}", 2762, TlsTrouble.PLAIN_PEER)
    note("peer 0", 2762, TlsTrouble.PLAIN_PEER)
    for number in range(MAX_REMEMBERED + 1, MAX_REMEMBERED + 100):
        note(f"peer {number}", 2762, TlsTrouble.PLAIN_PEER)
    assert len(noted(caplog)) == MAX_REMEMBERED + 1, "those beyond share a line"


@pytest.mark.parametrize("side", list(TlsSide))
@pytest.mark.parametrize("trouble", list(TlsTrouble))
def test_every_code_has_a_cure_that_fits_in_a_log_line(side: TlsSide, trouble: TlsTrouble) -> None:
    assert 20 < len(cure(side, trouble)) <= MAX_TEXT


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (TimeoutError(), TlsTrouble.TIMED_OUT),
        (ConnectionAbortedError(), TlsTrouble.TIMED_OUT),
        (ConnectionResetError(), TlsTrouble.CLOSED),
        (ssl.SSLEOFError(), TlsTrouble.CLOSED),
        (ssl.SSLError(), TlsTrouble.OTHER),
        (OSError(), TlsTrouble.OTHER),
    ],
)
def test_errors_of_a_handshake_have_a_meaning(error: OSError, trouble: TlsTrouble) -> None:
    assert trouble_of(error) is trouble
