"""The list of a cohort's studies: a CSV file to be looked at, and edited, before anything is pulled.

What its reader takes out, by deleting a row or writing `no` in its first column, is not pulled.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from dimse_mesh.app.atomic_file import write_atomically
from dimse_mesh.app.csv_rows import read_rows
from dimse_mesh.app.uid import is_uid
from dimse_mesh.runtime.settings_errors import ConfigurationError

YES, NO = "yes", "no"


@dataclass(frozen=True, slots=True)
class ListedStudy:
    """A row of the list.

    Attributes:
        pull: `yes` or `no`.
        pacs: the AE title that it is pulled from.
        instances: as the PACS has counted them; empty: it hasn't.
    """

    pull: str
    pacs: str
    study_instance_uid: str
    study_date: str = ""
    modalities: str = ""
    description: str = ""
    accession_number: str = ""
    patient_id: str = ""
    instances: str = ""

    @property
    def wanted(self) -> bool:
        """Whether it is to be pulled."""
        return self.pull != NO


COLUMNS = tuple(field.name for field in fields(ListedStudy))


def write_list(path: Path, studies: Iterable[ListedStudy]) -> None:
    """Write a list.

    Raises:
        OSError: it can't be written.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in asdict(study).items()} for study in studies)
    write_atomically(path, buffer.getvalue().encode())


def read_list(path: Path) -> Sequence[ListedStudy]:
    """Read a list, as written or as edited since.

    Raises:
        ConfigurationError: it is none, with one line for each problem.
    """
    studies: dict[str, ListedStudy] = {}
    problems = []
    for number, row in read_rows(path, ("pull", "pacs", "study_instance_uid")):
        study = ListedStudy(**{name: row.get(name, "") for name in COLUMNS})
        if not is_uid(study.study_instance_uid):
            problems.append(f"{path}: line {number}: study_instance_uid is no UID")
        elif not study.pacs:
            problems.append(f"{path}: line {number}: no pacs")
        elif study.pull not in {YES, NO, ""}:
            problems.append(f"{path}: line {number}: pull is yes or no")
        elif study.study_instance_uid in studies:
            problems.append(f"{path}: line {number}: its study stands above, too")
        else:
            studies[study.study_instance_uid] = study
    if problems:
        raise ConfigurationError(problems[:20])
    return list(studies.values())


def _cell(value: str) -> str:
    """Return a value that a spreadsheet takes for text and not for a formula."""
    return f"'{value}" if value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
