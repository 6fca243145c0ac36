"""When a study counts as quiet."""

from __future__ import annotations

from dimse_mesh.store.quiet import QuietStudies, StudyKey

ONE, TWO = StudyKey("object_stored", "PACS", "1.1"), StudyKey("object_stored", "PACS", "1.2")


def due(studies: QuietStudies, now: float) -> list[tuple[StudyKey, int]]:
    """Return the quiet studies, and how many objects of each have come."""
    return [(key, arrivals.objects) for key, arrivals in studies.due(now)]


def test_a_study_is_quiet_when_nothing_has_come_for_so_long() -> None:
    studies = QuietStudies(30)
    for heard in (0, 10, 25):
        studies.arrived(ONE, at=1000.0 + heard, heard=heard)
    assert due(studies, 54.9) == []
    assert due(studies, 55) == [(ONE, 3)]


def test_each_object_puts_off_the_end_of_its_own_study() -> None:
    studies = QuietStudies(30)
    studies.arrived(ONE, at=0, heard=0)
    studies.arrived(TWO, at=1, heard=1)
    studies.arrived(ONE, at=2, heard=20)
    assert due(studies, 31) == [(TWO, 1)]
    assert due(studies, 50) == [(TWO, 1), (ONE, 2)]


def test_what_was_told_is_not_told_again_until_more_comes() -> None:
    studies = QuietStudies(30)
    studies.arrived(ONE, at=5, heard=0)
    studies.told(ONE, last=5)
    assert due(studies, 100) == []
    studies.arrived(ONE, at=90, heard=90)
    assert due(studies, 120) == [(ONE, 1)]


def test_a_word_about_the_time_before_the_last_object_does_not_count() -> None:
    studies = QuietStudies(30)
    studies.arrived(ONE, at=5, heard=0)
    studies.arrived(ONE, at=6, heard=1)
    studies.told(ONE, last=5)
    assert due(studies, 100) == [(ONE, 2)]


def test_nothing_waits_before_the_first_object_of_the_other_studies() -> None:
    studies = QuietStudies(30)
    studies.arrived(ONE, at=1, heard=1, sequence=11)
    studies.arrived(TWO, at=2, heard=2, sequence=12)
    studies.arrived(ONE, at=3, heard=3, sequence=13)
    assert studies.settled(20, but=ONE) == 12
    assert studies.settled(20, but=TWO) == 11
    studies.told(ONE, last=3)
    assert studies.settled(20, but=TWO) == 20


def test_of_too_many_the_one_that_waits_longest_counts_as_quiet() -> None:
    studies = QuietStudies(30, most=2)
    for number in range(3):
        studies.arrived(StudyKey("object_stored", "PACS", str(number)), at=number, heard=number)
    assert [key.study for key, _ in studies.due(3)] == ["0"]
