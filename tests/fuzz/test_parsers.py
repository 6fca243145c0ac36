"""What `make fuzz` does for hours, for a moment: parsers raise what they document, and take little time and memory."""

from __future__ import annotations

import os
import random

import pytest

from tests.fuzz.plain import try_many, try_one
from tests.fuzz.target import CORPUS
from tests.fuzz.targets import TARGETS

SECONDS = float(os.environ.get("DIMSE_MESH_FUZZ_SECONDS", "0.3"))


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_inputs_raise_only_what_is_documented(name: str) -> None:
    try_many(TARGETS[name], seconds=SECONDS, start=random.SystemRandom().getrandbits(48))


@pytest.mark.parametrize("name", TARGETS)
def test_large_inputs_take_no_more_than_their_share_of_time(name: str) -> None:
    """A quadratic reader takes minutes for these."""
    target = TARGETS[name]
    for seed in target.seeds()[:4]:
        if seed:
            try_one(target, (seed * (target.largest // len(seed) + 1))[: target.largest])
    for byte in (b"[", b"\0", b"\xff"):
        try_one(target, byte * target.largest)


def test_what_is_kept_belongs_to_a_target() -> None:
    assert {folder.name for folder in CORPUS.glob("*")} <= set(TARGETS)
