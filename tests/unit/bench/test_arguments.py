"""The command lines of the bench, and of that over a long line."""

from __future__ import annotations

import pytest

from tests.bench.__main__ import arguments
from tests.bench.long_line import ROUND_TRIPS, options_of


@pytest.mark.parametrize("few", [["--only", "ct-1"], ["--ways", "relay,mesh"], ["--quick"]])
def test_a_few_rows_are_not_published(few: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(["--publish", *few])
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "python -m tests.bench: error: --publish replaces the whole table: leave out --only, --ways and --quick"
    )
    assert not arguments(few).publish


def test_the_whole_table_is_published() -> None:
    assert arguments(["--publish", "--rounds", "7"]).publish


def test_one_round_trip_is_not_published(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options_of(["--publish", "--rtt", "80"])
    assert "leave out --rtt" in capsys.readouterr().err
    assert options_of(["--rtt", "80"]).rtt == [80]
    assert options_of(["--publish", "--rounds", "2"]).rtt == ROUND_TRIPS
