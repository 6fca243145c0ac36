"""States of the code that are compared, as the command line spells them, and what is printed of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.measure import Sample
from tests.bench.pairs import Code, report
from tests.bench.plan import Cell
from tests.bench.report import Row
from tests.bench.ways import roots


def test_options_of_a_state() -> None:
    assert Code.of("after=.,hosted,encrypted,jetstream,ratio=0.5") == Code(
        "after", Path(), hosted=True, encrypted=True, jetstream=True, ratio=0.5
    )
    assert Code.of("before=../base") == Code("before", Path("../base"))


@pytest.mark.parametrize("text", ["before", "=.", "before=", "before=.,hostd", "before=.,ratio=much"])
def test_what_is_spelled_otherwise_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"NAME=FOLDER|no such option|could not convert"):
        Code.of(text)


def test_a_checkout_has_three_roots_and_another_folder_one(tmp_path: Path) -> None:
    assert roots(tmp_path) == [tmp_path]
    for name in ("common", "schemas", "services"):
        (tmp_path / name).mkdir()
    assert roots(tmp_path) == [tmp_path / "common", tmp_path / "schemas", tmp_path / "services"]


def test_each_state_is_compared_with_the_first_in_the_same_round() -> None:
    row = Row(Cell("small-1", "small", (), lambda _: Sample(1, 1)))
    row.results["before"] = [Sample(1.0, 100, cpu={"a": 0.1}), Sample(2.0, 100, cpu={"a": 0.2}), None]
    row.results["after"] = [Sample(0.5, 100, cpu={"a": 0.05}), Sample(1.0, 100, cpu={"a": 0.1}), None]
    row.results["broken"] = [None, None, None]
    assert report(row, ["before", "after", "broken"]).splitlines() == [
        "| small-1 | before | 1000.0 us/op | 1500.0 us/op | 1.00 | 1 s | 1.00 |",
        "| small-1 | after | 500.0 us/op | 750.0 us/op | 0.50 | 0.5 s | 0.50 |",
        "| small-1 | broken | failed | | | | |",
    ]
