"""The README's lines, from what was measured."""

from __future__ import annotations

from tests.bench.measure import Sample
from tests.bench.plan import Cell
from tests.bench.publish import README, page_with
from tests.bench.report import Row
from tests.bench.summary import NEEDED, summary


def measured() -> list[Row]:
    rows = []
    for key, ways in NEEDED.items():
        row = Row(Cell(key, key, ways, lambda _: Sample(1, 1)))
        gigabytes = 0.4 if key in {"ct-1", "big-1"} else 0.004
        for number, way in enumerate(ways, 1):
            row.results[way] = [Sample(number / 10, 500, gigabytes, cpu={"a": number / 5})]
        rows.append(row)
    return rows


def test_lines_say_what_was_measured() -> None:
    lines = summary(measured())
    assert lines is not None
    assert lines.replace("\n  ", " ").splitlines()[0] == (
        "- an 8 KB object takes 2.0 times as long, and 0.80 ms of CPU over all processes; "
        "with the handlers in the front-end's process 3.0 times, and 1.20 ms;"
    )
    assert "a 200 MB object 2.0 times, 1.0 CPU-seconds a GB" in lines.replace("\n  ", " ")
    assert max(map(len, lines.splitlines())) <= 120


def test_without_a_row_nothing_is_said() -> None:
    rows = measured()
    rows[0].results["mesh-hosted"] = [None]
    assert summary(rows) is None
    assert summary(rows[1:]) is None


def test_the_lines_take_their_place_in_the_readme() -> None:
    page = page_with(README.read_text(), "- new;\n- newer.\n")
    assert "begin -->\n\n- new;\n- newer.\n\n<!--" in page
