"""What `make fuzz-live` does for long, for a moment."""

from __future__ import annotations

import random
from pathlib import Path

from tests.fuzz import live


def test_hostile_connections_harm_no_honest_one(tmp_path: Path) -> None:
    outcome = live.attack(tmp_path, 1000, random.SystemRandom().getrandbits(32))
    assert not outcome.complaints, outcome
    assert not outcome.honest.failures, outcome
    assert outcome.honest.served > 5, outcome
