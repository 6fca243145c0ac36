"""The power fails: what was not flushed is gone, and what was acknowledged isn't among it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.durable.power import HEADER, power_failures


def test_a_power_failure(tmp_path: Path) -> None:
    power_failures(tmp_path, 1, embedded=True).check()


@pytest.mark.soak
def test_soak_of_power_failures(tmp_path: Path) -> None:
    always = power_failures(tmp_path / "always", int(os.environ.get("SOAK_FAILURES", "50")), embedded=True)
    print("", HEADER, always, sep="\n")
    print(power_failures(tmp_path / "default", 1, embedded=False, away=True))
    always.check()
