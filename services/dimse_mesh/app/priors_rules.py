"""Which studies are priors of which. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from dimse_mesh.runtime.settings_priors import PriorRule

DAYS_OF_YEAR: Final = 365.2425


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What a PACS says of a study.

    Attributes:
        patient: the Patient ID; never logged and never kept.
        date: None: it has none that is one.
    """

    study: str
    patient: str = field(repr=False)
    date: date | None
    modalities: frozenset[str]
    instances: int | None = None


def asks_safely(patient: str) -> bool:
    """Tell whether a Patient ID finds one patient: an empty one, or one with wildcards, finds more (PS3.4 §C.2.2.2)."""
    return bool(patient.strip()) and not set(patient) & set("*?\\")


def is_new(study: StudyFacts, today: date, *, within_days: float) -> bool:
    """Tell whether a study that has arrived was made lately; one without a date counts as new."""
    return study.date is None or (today - study.date) <= timedelta(days=within_days)


def wants_priors(study: StudyFacts, rule: PriorRule) -> bool:
    """Tell whether a rule is for such a new study."""
    return not rule.modalities or bool(study.modalities & set(rule.modalities))


def relevant(
    new: StudyFacts, rule: PriorRule, candidates: Iterable[StudyFacts], *, today: date
) -> Sequence[StudyFacts]:
    """Return the priors of a new study, the newest first; without the limit of their number.

    A candidate without a date can't be known to be earlier, and isn't one.
    """
    wanted = frozenset(rule.prior_modalities) or new.modalities
    ends = new.date or today
    begins = ends - timedelta(days=min(rule.years * DAYS_OF_YEAR, (ends - date.min).days))
    found = {
        candidate.study: candidate
        for candidate in candidates
        if candidate.study != new.study
        and candidate.patient.strip() == new.patient.strip()
        and candidate.date is not None
        and begins <= candidate.date <= ends
        and (not wanted or candidate.modalities & wanted)
    }
    return sorted(found.values(), key=lambda one: (one.date or date.min, one.study), reverse=True)
