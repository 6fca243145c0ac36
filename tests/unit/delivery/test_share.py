"""Into which share of a queue a study falls."""

from __future__ import annotations

from collections import Counter

import pytest

from dimse_mesh.delivery.share import QueueShare
from dimse_mesh.schemas.spool_subjects import study_token


@pytest.mark.parametrize("of", [1, 2, 3, 32])
def test_each_study_is_in_exactly_one_share(of: int) -> None:
    shares = [QueueShare(number, of) for number in range(of)]
    found: Counter[int] = Counter()
    for number in range(1000):
        study = study_token(f"1.2.840.{number}")
        owners = [share.number for share in shares if share.has(study)]
        assert len(owners) == 1
        found[owners[0]] += 1
    assert len(found) == of


def test_one_share_is_the_whole_queue() -> None:
    assert QueueShare().is_whole
    assert QueueShare().has(study_token(""))
