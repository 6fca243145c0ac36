"""From a cohort's query to its list: C-FIND in each PACS, in halves of the date range where a PACS gives no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from typing import Final

import anyio

from dimse_mesh.app.answer import QueryAnswer
from dimse_mesh.app.cohort_ask import Matches, count_of, find_matches, value_of
from dimse_mesh.app.cohort_dates import DateRange, parse_range
from dimse_mesh.app.cohort_list import YES, ListedStudy
from dimse_mesh.app.cohort_query import CohortQuery, Pacs
from dimse_mesh.app.uid import is_uid
from dimse_mesh.app.way_in import Door
from dimse_mesh.client import AssociationError
from dimse_mesh.dimse import StatusCategory, category

ATTEMPTS: Final = 3
RETRY_SECONDS: Final = 1.0


@dataclass(slots=True)
class FoundStudies:
    """What all PACS have found.

    Attributes:
        studies: by Study Instance UID. What several PACS have is listed for the first of them.
        problems: why the list may lack studies, one line each.
        finds: how many C-FINDs it took.
    """

    studies: dict[str, ListedStudy] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    finds: int = 0


class CohortFinder:
    """Asks every PACS for every line of the query.

    Args:
        show: is told how far it is.
    """

    def __init__(self, door: Door, query: CohortQuery, *, today: date, show: Callable[[str], None]) -> None:
        self._door = door
        self._query = query
        self._today = today
        self._show = show
        self.found = FoundStudies()

    async def run(self) -> FoundStudies:
        """Return what was found; what couldn't be asked is among the problems."""
        for pacs in self._query.pacs:
            for keys in self._query.finds():
                await self._find(pacs, keys)
        return self.found

    async def _find(self, pacs: Pacs, keys: Mapping[str, str]) -> None:
        matches = await self._ask(pacs, keys)
        if matches is None:
            return
        whole = None
        if matches.cut_short and "StudyTime" not in keys:
            whole = parse_range(keys.get("StudyDate", ""), self._today)
        halves = None if whole is None else whole.halves()
        if halves is None:
            self._take(pacs, keys, matches)
            return
        for half in halves:
            await self._find_in(pacs, keys, half)
        if not keys.get("StudyDate"):
            self._problem(f"{pacs.ae_title}: it limits its answers, so studies without a date are not found")

    async def _find_in(self, pacs: Pacs, keys: Mapping[str, str], dates: DateRange) -> None:
        matches = await self._ask(pacs, {**keys, **dates.matching_keys()})
        if matches is None:
            return
        halves = dates.halves() if matches.cut_short else None
        if halves is None:
            self._take(pacs, {**keys, **dates.matching_keys()}, matches)
            return
        for half in halves:
            await self._find_in(pacs, keys, half)

    async def _ask(self, pacs: Pacs, keys: Mapping[str, str]) -> Matches | None:
        """Return the answers; None: there is a problem, which is noted."""
        why = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await anyio.sleep(RETRY_SECONDS * 2**attempt)
            self.found.finds += 1
            self._show(f"{pacs.ae_title}: {len(self.found.studies)} studies, {self.found.finds} C-FINDs")
            try:
                matches = await find_matches(self._door, pacs.ae_title, keys, limit=pacs.limit)
            except AssociationError as error:
                why = str(error)
                continue
            if matches.cut_short or category(matches.status) is not StatusCategory.FAILURE:
                return matches
            why = f"status {matches.status:04X}H"
        self._problem(f"{pacs.ae_title}: {_spelt(keys)}: {why}")
        return None

    def _take(self, pacs: Pacs, keys: Mapping[str, str], matches: Matches) -> None:
        if matches.cut_short:
            self._problem(
                f"{pacs.ae_title}: {_spelt(keys)}: it has more than the {len(matches.answers)} studies that it gives"
            )
        for answer in matches.answers:
            uid = value_of(answer, "StudyInstanceUID")
            if not is_uid(uid):
                self._problem(f"{pacs.ae_title}: a match without a Study Instance UID")
            elif _has_modality(answer, keys.get("ModalitiesInStudy", "")):
                self.found.studies.setdefault(uid, _listed(pacs, uid, answer))

    def _problem(self, line: str) -> None:
        if line not in self.found.problems:
            self.found.problems.append(line)


def _listed(pacs: Pacs, uid: str, answer: QueryAnswer) -> ListedStudy:
    count = count_of(answer)
    return ListedStudy(
        pull=YES,
        pacs=pacs.ae_title,
        study_instance_uid=uid,
        study_date=value_of(answer, "StudyDate"),
        modalities=value_of(answer, "ModalitiesInStudy"),
        description=value_of(answer, "StudyDescription"),
        accession_number=value_of(answer, "AccessionNumber"),
        patient_id=value_of(answer, "PatientID"),
        instances="" if count is None else str(count),
    )


def _has_modality(answer: QueryAnswer, wanted: str) -> bool:
    """Tell whether a study has a modality. It is no required key (PS3.4 table C.6-5): not every PACS matches it."""
    there = [
        modality.strip() for modality in value_of(answer, "ModalitiesInStudy").split("\\") if modality.strip()
    ]
    patterns = [pattern for pattern in wanted.split("\\") if pattern]
    return (
        not there
        or not patterns
        or any(fnmatchcase(modality, pattern) for modality in there for pattern in patterns)
    )


def _spelt(keys: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in keys.items())
