"""The bench's output as docs/performance.md has it."""

from __future__ import annotations

import pytest

from tests.bench.compression import COMPRESSION
from tests.bench.durable.__main__ import DURABLE
from tests.bench.long_line import LINE
from tests.bench.publish import BEGIN, BENCH, END, PAGE, page_with

PRINTED = (
    "processor: 2 cores\n\n| workload | way |\n|---|---|\n| ct | mesh |\n\nok     ct: 2.1x\nBROKEN echo: 9x\n"
)


def test_output_takes_the_place_of_the_last_one() -> None:
    page = f"# Performance\n\n{BEGIN}\n\nold\n\n{END}\n\n## More\n"
    assert page_with(page, PRINTED) == (
        f"# Performance\n\n{BEGIN}\n\nprocessor: 2 cores\n\n| workload | way |\n|---|---|\n| ct | mesh |\n\n"
        f"    ok     ct: 2.1x\n    BROKEN echo: 9x\n\n{END}\n\n## More\n"
    )


def test_long_lines_are_wrapped() -> None:
    page = page_with(f"{BEGIN}{END}", "word " * 60)
    assert max(map(len, page.splitlines())) <= 120


@pytest.mark.parametrize("between", [BENCH, DURABLE, LINE, COMPRESSION])
def test_the_page_has_the_marks(between: tuple[str, str]) -> None:
    page = page_with(PAGE.read_text(), PRINTED, between)
    assert page.count(between[0]) == page.count(between[1]) == 1
    assert "\n\nprocessor: 2 cores\n\n" in page


def test_page_without_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="lacks the mark"):
        page_with("# Performance\n", PRINTED)
