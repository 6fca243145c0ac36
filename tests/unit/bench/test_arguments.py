"""The command lines of the benches that publish."""

from __future__ import annotations

import pytest

from tests.bench.__main__ import arguments
from tests.bench.durable.__main__ import options_of as durable_options
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


def test_one_part_of_durable_delivery_is_not_published(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        durable_options(["--publish", "--only", "line"])
    assert "leave out --only" in capsys.readouterr().err
    assert durable_options(["--only", "line"]).only == "line"
    assert durable_options(["--publish", "--rounds", "2"]).publish
