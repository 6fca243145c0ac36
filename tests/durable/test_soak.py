"""Whatever breaks: what stock clients were told is safe arrives, identical and in order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.durable.soak import soak


def test_every_fault_once_while_storescu_stores(tmp_path: Path) -> None:
    soak(tmp_path, faults=11, longest=1.0, until_empty=False).balance.check()


@pytest.mark.soak
def test_soak_of_faults(tmp_path: Path) -> None:
    report = soak(tmp_path, faults=int(os.environ.get("SOAK_FAULTS", "320")))
    print("", report, sep="\n")
    report.balance.check()
