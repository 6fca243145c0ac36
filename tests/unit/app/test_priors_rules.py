"""Which studies are priors of which."""

from __future__ import annotations

from datetime import date

import pytest

from dimse_mesh.app.priors_rules import StudyFacts, asks_safely, is_new, relevant, wants_priors
from dimse_mesh.runtime.settings_priors import PriorRule

TODAY = date(2026, 3, 1)
RULE = PriorRule(pacs="PACS", to="VIEWER", years=2)


def study(
    uid: str, when: date | None, *modalities: str, patient: str = "P1", instances: int = 3
) -> StudyFacts:
    """Return what a PACS says of a study."""
    return StudyFacts(uid, patient, when, frozenset(modalities or ("CT",)), instances)


NEW = study("1.9", date(2026, 2, 28))


def chosen(*candidates: StudyFacts, rule: PriorRule = RULE, new: StudyFacts = NEW) -> list[str]:
    """Return the UIDs of the priors."""
    return [one.study for one in relevant(new, rule, candidates, today=TODAY)]


def test_the_newest_come_first_and_each_once() -> None:
    older, newer = study("1.1", date(2025, 1, 1)), study("1.2", date(2025, 6, 1))
    assert chosen(older, newer, older) == ["1.2", "1.1"]


@pytest.mark.parametrize(
    "candidate",
    [
        NEW,
        study("1.1", date(2023, 1, 1)),
        study("1.1", date(2026, 3, 1)),
        study("1.1", None),
        study("1.1", date(2025, 1, 1), "MR"),
        study("1.1", date(2025, 1, 1), patient="P10"),
    ],
    ids=["itself", "too old", "later", "without a date", "another modality", "another patient"],
)
def test_what_is_no_prior(candidate: StudyFacts) -> None:
    assert chosen(candidate) == []


def test_a_rule_may_name_the_modalities_of_priors() -> None:
    rule = RULE.model_copy(update={"prior_modalities": ("MR", "PT")})
    candidates = (
        study("1.1", date(2025, 1, 1)),
        study("1.2", date(2025, 1, 1), "PT", "CT"),
        study("1.3", date(2025, 1, 1), "MR"),
    )
    assert chosen(*candidates, rule=rule) == ["1.3", "1.2"]


def test_a_new_study_without_a_date_counts_as_of_today() -> None:
    new = study("1.9", None)
    assert is_new(new, TODAY, within_days=7)
    assert chosen(study("1.1", date(2024, 6, 1)), study("1.2", date(2023, 6, 1)), new=new) == ["1.1"]


def test_two_hundred_years_are_not_too_many() -> None:
    rule = RULE.model_copy(update={"years": 200.0})
    assert chosen(study("1.1", date(1900, 1, 1)), rule=rule, new=study("1.9", date(100, 1, 1))) == []
    assert chosen(study("1.1", date(1900, 1, 1)), rule=rule) == ["1.1"]


def test_an_old_study_is_not_new_when_it_arrives() -> None:
    assert is_new(study("1.9", date(2026, 2, 22)), TODAY, within_days=7)
    assert not is_new(study("1.9", date(2026, 2, 21)), TODAY, within_days=7)


def test_a_rule_may_be_for_some_modalities() -> None:
    rule = RULE.model_copy(update={"modalities": ("CT",)})
    assert wants_priors(NEW, rule)
    assert not wants_priors(study("1.9", TODAY, "US"), rule)
    assert wants_priors(study("1.9", TODAY, "US"), RULE)


@pytest.mark.parametrize("patient", ["", "  ", "*", "P?", "P1*", "P1\\P2"])
def test_a_patient_id_that_finds_others_is_not_asked_for(patient: str) -> None:
    assert not asks_safely(patient)
    assert asks_safely("P1")


def test_facts_don_t_show_the_patient() -> None:
    assert "P1" not in repr(NEW)
