"""The file that says which studies a cohort is made of: YAML, or CSV with a row for each C-FIND."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, ValidationError, field_validator

from dimse_mesh.app.identifier import KeyMistake, build_identifier, parse_path
from dimse_mesh.runtime.settings import read_yaml
from dimse_mesh.runtime.settings_errors import ConfigurationError, problems_of
from dimse_mesh.runtime.settings_fields import AeTitle, SettingsModel

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

    @field_validator("find", mode="before")
    @classmethod
    def _values_are_text(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [
            {
                key: [str(item) for item in values] if isinstance(values, list) else str(values)
                for key, values in entry.items()
            }
            if isinstance(entry, dict)
            else entry
            for entry in value
        ]

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
    data: dict[str, Any] = {"find": _rows(path)} if path.suffix.lower() == ".csv" else read_yaml(path)
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
        for key in entry:
            try:
                parse_path(key)
            except KeyMistake as mistake:
                problems.append(f"{path}: find[{number}].{key}: {mistake}")
        if not any(values for values in entry.values()):
            problems.append(f"{path}: find[{number}]: it has no value: that would be every study")
    if problems:
        raise ConfigurationError(problems)
    if sum(1 for _ in itertools.islice(query.finds(), MOST_FINDS + 1)) > MOST_FINDS:
        raise ConfigurationError([f"{path}: more than {MOST_FINDS} C-FINDs"])
    for keys in itertools.islice(query.finds(), 1):
        build_identifier([f"{key}={value}" for key, value in keys.items()])
    return query


def _rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file: its first row has keywords, and each other row is a C-FIND; empty cells don't count."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [
                {key: value.strip() for key, value in row.items() if key and value and value.strip()}
                for row in csv.DictReader(file)
            ]
    except OSError as error:
        raise ConfigurationError([f"{path}: can't be read: {error.strerror}"]) from error
    except (UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise ConfigurationError([f"{path}: no CSV in UTF-8 with a row of keywords"]) from error
    return [row for row in rows if row]


def _within(hours: str, now: time) -> bool:
    match = _HOURS.fullmatch(hours)
    assert match is not None
    begin, end = (int(match[at]) * 60 + int(match[at + 1]) for at in (1, 3))
    minute = now.hour * 60 + now.minute
    return begin <= minute < end if begin <= end else minute >= begin or minute < end
