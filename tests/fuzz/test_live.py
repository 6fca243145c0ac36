"""What `make fuzz-live` and `make fuzz-bus` do for long, for a moment."""

from __future__ import annotations

import random
from pathlib import Path

from tests.fuzz import bus, live


def test_hostile_connections_harm_no_honest_one(tmp_path: Path) -> None:
    outcome = live.attack(tmp_path, 1000, random.SystemRandom().getrandbits(32))
    assert not outcome.complaints, outcome
    assert not outcome.honest.failures, outcome
    assert outcome.honest.served > 5, outcome


def test_hostile_messages_of_stolen_keys_harm_no_honest_association(tmp_path: Path) -> None:
    outcome = bus.attack(tmp_path, 5000, random.SystemRandom().getrandbits(32))
    assert not outcome.failures, outcome
    assert outcome.permitted == outcome.sent
    assert len(outcome.dropped) > 20, "they are heard"
    assert outcome.honest.served > 5, outcome
