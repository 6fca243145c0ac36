"""The soak, short: every kind of fault once under mixed load."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault.soak import soak


@pytest.mark.parametrize("hosted", [False, True], ids=["handlers apart", "handlers hosted"])
def test_books_balance_after_one_fault_of_each_kind(tmp_path: Path, *, hosted: bool) -> None:
    report = soak(tmp_path, rounds=1, seconds=60, hosted=hosted)
    print(report)
    report.check()
