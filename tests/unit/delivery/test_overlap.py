"""Over a long line reads overlap, as far as was heard what there is to be read, and there is room for it."""

from __future__ import annotations

import pytest

from dimse_mesh.delivery.overlap import LONG, OverlappingReads, StoredNotice
from dimse_mesh.schemas.spool_subjects import RoutePriority

MANY = 64
BYTES = 1 << 20


def hear(overlap: OverlappingReads, *sequences: int) -> None:
    for sequence in sequences:
        overlap.hear(StoredNotice(RoutePriority.MEDIUM, sequence, 1000))


def far(took: float = LONG) -> OverlappingReads:
    """Return what has read up to message 10 over a line on which that took so many seconds."""
    overlap = OverlappingReads()
    assert overlap.begin(1, 0.0, most=MANY) == MANY
    assert overlap.came(10, 0, took) == []
    return overlap


def test_reads_overlap_that_bring_what_was_heard_of() -> None:
    overlap = far()
    hear(overlap, 10, 13)
    assert overlap.begin(10, 1.0, most=MANY) == 2, "where it ends is known beforehand"
    assert overlap.wait(1.0) is None, "nothing more was heard of"
    hear(overlap, 15, 16)
    assert overlap.wait(1.0) == pytest.approx(LONG)
    assert overlap.further(1.0 + LONG, most=MANY, most_bytes=BYTES) == (14, 2)
    hear(overlap, 17)
    assert overlap.further(1.0 + 2 * LONG, most=MANY, most_bytes=BYTES) == (17, 1)
    assert overlap.came(14, 3, LONG) == []
    assert overlap.begin(14, 2.0, most=MANY) == 2
    assert overlap.came(17, 1, None) == []
    assert overlap.begin(17, 2.0, most=MANY) == 1


def test_what_ends_elsewhere_than_was_thought_gives_up_what_was_asked_for_behind_it() -> None:
    overlap = far()
    hear(overlap, 10, 13)
    overlap.begin(10, 1.0, most=MANY)
    hear(overlap, 15)
    assert overlap.further(1.5, most=MANY, most_bytes=BYTES) == (14, 1)
    assert overlap.came(12, 1, LONG) == [14]
    assert overlap.begin(12, 2.0, most=MANY) == MANY, "more stands there than was heard of"
    assert overlap.wait(2.0) is None


@pytest.mark.parametrize(("took", "pending"), [(LONG / 2, 0), (LONG, 1)])
def test_nearby_and_behind_others_one_read_follows_the_other(took: float, pending: int) -> None:
    overlap = OverlappingReads()
    overlap.begin(1, 0.0, most=MANY)
    overlap.came(10, pending, took)
    assert overlap.begin(10, 1.0, most=MANY) == MANY
    hear(overlap, 10, 11)
    assert overlap.wait(5.0) is None
    assert overlap.further(5.0, most=MANY, most_bytes=BYTES) is None


def test_no_more_is_asked_for_than_there_is_room_for() -> None:
    overlap = far()
    hear(overlap, *range(10, 20))
    assert overlap.begin(10, 1.0, most=3) == 3
    assert overlap.further(2.0, most=7, most_bytes=BYTES) == (13, 4)
    assert overlap.further(3.0, most=7, most_bytes=BYTES) is None
    assert overlap.further(3.0, most=MANY, most_bytes=4999) is None, "4,000 bytes are under way"
    assert overlap.further(3.0, most=MANY, most_bytes=5000) == (17, 1)


def test_what_is_heard_late_or_wrongly_does_no_harm() -> None:
    overlap = far()
    hear(overlap, 3, 9, 1 << 62)
    assert overlap.begin(10, 1.0, most=MANY) == 1
    hear(overlap, 11)
    assert overlap.further(2.0, most=MANY, most_bytes=BYTES) is None
    assert overlap.came(11, 1, LONG) == []
    hear(overlap, 11)
    assert overlap.begin(11, 3.0, most=MANY) == MANY
    assert overlap.came(12, 0, LONG) == []
    hear(overlap, 12)
    assert overlap.begin(12, 4.0, most=MANY) == 1, "it goes on where it is"


def test_a_notice_that_says_nothing_is_no_hint() -> None:
    assert StoredNotice.of(None) == StoredNotice()
    assert StoredNotice.of({"Nats-Subject": "odd", "Nats-Sequence": "-1"}) == StoredNotice()
    overlap = far()
    overlap.hear(StoredNotice())
    assert overlap.begin(10, 1.0, most=MANY) == MANY
