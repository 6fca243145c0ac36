"""What the bench makes of its figures: medians of pairs, the noise, and verdicts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.bench.measure import Sample
from tests.bench.plan import Cell, CpuLimit, Limit, at_most
from tests.bench.report import Row, judge, judge_length, noise, quartiles


def samples(seconds: Sequence[float], cpu: Sequence[float], *, gigabytes: float = 0.0) -> list[Sample | None]:
    return [
        Sample(wall, 100, gigabytes, cpu={"a": used / 4, "b": used * 3 / 4})
        for wall, used in zip(seconds, cpu, strict=True)
    ]


def row(limits: Sequence[Limit] = (), cpu_limits: Sequence[CpuLimit] = (), *, gigabytes: float = 0.0) -> Row:
    cell = Cell("small-1", "small", ("relay", "mesh", "mesh-again"), lambda _: Sample(1, 1), limits)
    made = Row(Cell(cell.key, cell.title, cell.ways, cell.run, limits, cpu_limits=cpu_limits))
    made.results["relay"] = samples([1.0, 2.0, 4.0], [0.1, 0.1, 0.1], gigabytes=gigabytes)
    made.results["mesh"] = samples([2.0, 5.0, 8.0], [0.1, 0.2, 0.3], gigabytes=gigabytes)
    made.results["mesh-again"] = samples([2.0, 5.0, 10.0], [0.1, 0.2, 0.6], gigabytes=gigabytes)
    return made


def test_ratios_are_of_the_same_round() -> None:
    made = row()
    assert made.ratios("mesh", "relay") == [2.0, 2.5, 2.0]
    assert quartiles(made.ratios("mesh", "relay")) == "2.00 (2.00 - 2.25)"
    assert quartiles([1.234]) == "1.23"


@pytest.mark.parametrize(("gigabytes", "cost"), [(0.0, 2000.0), (0.1, 2.0)])
def test_cost_is_the_sum_of_all_processes(gigabytes: float, cost: float) -> None:
    assert row(gigabytes=gigabytes).cost("mesh") == pytest.approx(cost)
    assert row(gigabytes=gigabytes).cost("direct") is None


def test_the_same_mesh_twice_shows_the_noise() -> None:
    assert "| small | 1.00 (1.00 - 1.12) | 1.00 (1.00 - 1.50) |" in noise([row()])


@pytest.mark.parametrize(("must", "passed"), [(2.0, True), (1.9, False)])
def test_a_limit_is_held_against_the_median_of_the_pairs(must: float, passed: bool) -> None:
    (verdict,) = judge([row([at_most(must, 1.0)])])
    assert (verdict.passed, verdict.aimed) == (passed, False)


@pytest.mark.parametrize(("must", "passed"), [(2100, True), (1900, False)])
def test_limits_of_cpu_are_judged_by_operation(must: float, passed: bool) -> None:
    (verdict,) = judge([row(cpu_limits=[CpuLimit(must, 2000)])])
    assert (verdict.passed, verdict.aimed) == (passed, True)
    assert "mesh: CPU 2000 us/op" in verdict.text


def test_a_limit_of_cpu_can_be_another_way() -> None:
    limit = Limit("mesh", 1.1, 1.0, "mesh-again", cpu=True)
    (verdict,) = judge([row([limit])])
    assert verdict.passed
    assert verdict.text.startswith("mesh-again: CPU 1.00x of mesh")


@pytest.mark.parametrize(
    ("seconds", "took", "passed"),
    [
        (1300.4, "21 min 40 s", True),
        (1500, "25 min 0 s", True),
        (1501, "25 min 1 s", False),
        (59.7, "1 min 0 s", True),
    ],
)
def test_a_full_run_has_a_longest_time(seconds: float, took: str, passed: bool) -> None:
    verdict = judge_length(seconds)
    assert verdict.text == f"took {took} (at most 25 min)"
    assert verdict.passed is passed
