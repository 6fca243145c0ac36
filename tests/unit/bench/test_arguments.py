"""The command line of the bench."""

from __future__ import annotations

import pytest

from tests.bench.__main__ import arguments


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
