"""What is stored to see how well pixel data compress."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from tests.bench.compression import KINDS, pixels
from tests.support.files import take_apart

BLOCK = 1 << 20
"""Bytes within which S2 looks for repetitions."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_repetition_is_too_far_away_to_be_found(kind: str) -> None:
    files = [take_apart(Path(str(get_testdata_file(name)))) for name in KINDS[kind]]
    assert sum(len(file.data) for file in files) > BLOCK
    assert len({file.transfer_syntax for file in files}) == 1


def test_the_files_come_again_until_there_is_enough() -> None:
    names = KINDS["CT, uncompressed"]
    data = pixels(names, 4_000_000)
    first = take_apart(Path(str(get_testdata_file(names[0])))).data
    assert len(data) == 4_000_000
    assert data.startswith(first)
    assert data.count(first) == 3
