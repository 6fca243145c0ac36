"""The soak, short: every kind of fault once under mixed load."""

from __future__ import annotations

from pathlib import Path

from tests.fault.soak import soak


def test_books_balance_after_one_fault_of_each_kind(tmp_path: Path) -> None:
    report = soak(tmp_path, rounds=1, seconds=60)
    print(report)
    report.check()
