"""What has become of a cohort's studies: a JSON file beside the list, written after each study."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from dimse_mesh.app.atomic_file import write_atomically
from dimse_mesh.runtime.settings_errors import ConfigurationError

VERSION: Final = 1


class StudyStatus(StrEnum):
    """How far a study is."""

    WAITING = "waiting"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    """The PACS has sent less than it has."""
    FAILED = "failed"


class StudyState(BaseModel):
    """One study.

    Attributes:
        expected: instances that the PACS says it has.
        arrived: instances that it has sent, or that have come here.
        why: what is missing, and for what reason.
    """

    model_config = ConfigDict(extra="ignore")

    status: StudyStatus = StudyStatus.WAITING
    attempts: int = 0
    expected: int | None = None
    arrived: int = 0
    why: str = ""
    ended: str = ""

    @property
    def missing(self) -> int | None:
        """Instances that haven't come; None: nobody has counted."""
        return None if self.expected is None else max(0, self.expected - self.arrived)


class _StateFile(BaseModel):
    version: int = VERSION
    destination: str
    studies: dict[str, StudyState] = Field(default_factory=dict)


class CohortState:
    """The states of the studies of one list, for one destination.

    Attributes:
        studies: by Study Instance UID.
    """

    def __init__(self, path: Path, content: _StateFile) -> None:
        self._path = path
        self._content = content
        self.studies = content.studies

    def of(self, uid: str) -> StudyState:
        """Return the state of a study, which `save` keeps."""
        return self.studies.setdefault(uid, StudyState())

    def save(self) -> None:
        """Write the file.

        Raises:
            OSError: it can't be written.
        """
        write_atomically(self._path, self._content.model_dump_json(indent=1).encode())


def state_path(listed: Path) -> Path:
    """Return where the state of a list is kept."""
    return listed.with_name(f"{listed.name}.state.json")


def load_state(listed: Path, destination: str | None = None) -> CohortState:
    """Read the state of a list, or begin one.

    Args:
        destination: where the studies go; None: what the file says.

    Raises:
        ConfigurationError: the file is no state, or is of another destination.
    """
    path = state_path(listed)
    try:
        data: Mapping[str, Any] = json.loads(path.read_bytes())
        content = _StateFile.model_validate(data)
    except FileNotFoundError:
        return CohortState(path, _StateFile(destination=destination or ""))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError([f"{path}: no state of a cohort that can be read"]) from error
    if content.version != VERSION:
        raise ConfigurationError([f"{path}: it is of version {content.version}, this is version {VERSION}"])
    if destination is not None and content.destination != destination:
        raise ConfigurationError(
            [
                f"{path}: the list is being pulled to {content.destination}: copy the list for another destination"
            ]
        )
    return CohortState(path, content)


@contextmanager
def alone(listed: Path) -> Iterator[None]:
    """Keep others from pulling the same list for the length of the block.

    Raises:
        ConfigurationError: somebody is.
    """
    path = listed.with_name(f".{listed.name}.lock")
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError([f"{listed}: it is being pulled already"]) from None
        yield
