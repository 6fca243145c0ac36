"""Halves of date ranges: together they are the whole, and they end."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.app.cohort_dates import DateRange, parse_range

TODAY = date(2026, 11, 29)
DATES = st.dates(date(1970, 1, 1), date(2100, 1, 1))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("20200101-20201231", {"StudyDate": "20200101-20201231"}),
        ("20200101", {"StudyDate": "20200101"}),
        ("20200101-", {"StudyDate": "20200101-20261130"}),
        ("-20200101", {"StudyDate": "19700101-20200101"}),
        ("", {"StudyDate": "19700101-20261130"}),
    ],
)
def test_study_dates(text: str, keys: dict[str, str]) -> None:
    found = parse_range(text, TODAY)
    assert found is not None
    assert found.matching_keys() == keys


@pytest.mark.parametrize("text", ["2020*", "20201301", "20200102-20200101", "2020-01-01"])
def test_what_is_no_range(text: str) -> None:
    assert parse_range(text, TODAY) is None


@given(first=DATES, days=st.integers(0, 20_000))
def test_halves_are_the_whole(first: date, days: int) -> None:
    whole = DateRange(first, first + timedelta(days=days))
    halves = whole.halves()
    assert halves is not None
    one, other = halves
    if days:
        assert (one.first, other.last) == (whole.first, whole.last)
        assert one.last + timedelta(days=1) == other.first
        assert one.first <= one.last
    else:
        assert (one.since, one.until + 1, other.until) == (0, other.since, 24 * 3600 - 1)
    depth = 0
    smallest: DateRange = whole
    while (pair := smallest.halves()) is not None:
        smallest, depth = pair[depth % 2], depth + 1
    assert depth < 40
    assert "StudyTime" in smallest.matching_keys()
