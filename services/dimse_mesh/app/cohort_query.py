"""The file that says which studies a cohort is made of: YAML, or CSV with a row for each C-FIND."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, ValidationError, field_validator

from dimse_mesh.app.csv_rows import read_rows
from dimse_mesh.app.identifier import KeyMistake, check_key
from dimse_mesh.runtime.settings_errors import ConfigurationError, problems_of
from dimse_mesh.runtime.settings_fields import AeTitle, SettingsModel
from dimse_mesh.runtime.yaml_file import read_yaml

_HOURS: Final = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
MOST_FINDS: Final = 100_000


def _hours(value: str) -> str:
    if not _HOURS.fullmatch(value):
        raise ValueError("hours are HH:MM-HH:MM, for example 18:00-06:00, in this machine's time")
    return value


Hours = Annotated[str, AfterValidator(_hours)]


class Pacs(SettingsModel):
    """A PACS, and what it allows."""

    ae_title: AeTitle = Field(description="its AE title, anywhere in the mesh")
    associations: int = Field(default=1, ge=1, le=64, description="associations at a time, at most")
    hours: tuple[Hours, ...] = Field(default=(), description="when it may be asked for studies; none: always")
    limit: int = Field(
        default=0,
        ge=0,
        description="matches that it gives at most for one C-FIND; 0: it says so, or has no limit",
    )

    def allows(self, now: time) -> bool:
        """Tell whether studies may be pulled at this time of the day."""
        return not self.hours or any(_within(hours, now) for hours in self.hours)


class CohortQuery(SettingsModel):
    """Which studies, from where."""

    pacs: tuple[Pacs, ...] = Field(min_length=1, description="each of them is asked")
    find: tuple[dict[str, str | list[str]], ...] = Field(
        min_length=1,
        description="keys by keyword, one C-FIND each; a list of values is one C-FIND for each value",
    )

    @field_validator("pacs")
    @classmethod
    def _titles_are_unique(cls, pacs: tuple[Pacs, ...]) -> tuple[Pacs, ...]:
        if len({one.ae_title for one in pacs}) < len(pacs):
            raise ValueError("a PACS stands here twice")
        return pacs

    def finds(self) -> Iterator[dict[str, str]]:
        """Yield the keys of each C-FIND."""
        for entry in self.find:
            names = list(entry)
            values = [value if isinstance(value, list) else [value] for value in entry.values()]
            for combination in itertools.product(*values):
                yield dict(zip(names, combination, strict=True))


def load_query(path: Path, pacs: tuple[str, ...] = ()) -> CohortQuery:
    """Read a query file.

    Args:
        pacs: AE titles to ask, instead of the file's; a CSV file names none.

    Raises:
        ConfigurationError: with one line for each problem.
    """
    data: dict[str, Any]
    if path.suffix.lower() == ".csv":
        data = {"find": [row for _, row in read_rows(path) if row]}
    else:
        data = read_yaml(path, as_text=True)
    if pacs:
        data["pacs"] = [{"ae_title": title} for title in pacs]
    elif "pacs" not in data:
        raise ConfigurationError([f"{path}: no PACS: give --pacs AET"])
    try:
        query = CohortQuery.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(problems_of(error, str(path), CohortQuery, {})) from error
    problems = []
    for number, entry in enumerate(query.find):
        for key, value in entry.items():
            try:
                for one in value if isinstance(value, list) else [value]:
                    check_key(key, one)
            except KeyMistake as mistake:
                problems.append(f"{path}: find[{number}].{key}: {mistake}")
        if not any(values for values in entry.values()):
            problems.append(f"{path}: find[{number}]: it has no value: that would be every study")
    if problems:
        raise ConfigurationError(problems)
    if sum(1 for _ in itertools.islice(query.finds(), MOST_FINDS + 1)) > MOST_FINDS:
        raise ConfigurationError([f"{path}: more than {MOST_FINDS} C-FINDs"])
    return query


def _within(hours: str, now: time) -> bool:
    match = _HOURS.fullmatch(hours)
    assert match is not None
    begin, end = (int(match[at]) * 60 + int(match[at + 1]) for at in (1, 3))
    minute = now.hour * 60 + now.minute
    return begin <= minute < end if begin <= end else minute >= begin or minute < end
