"""What a peer of another make can be asked to do, and what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from tests.support.files import DicomFile, take_apart

Stored = dict[str, tuple[str, str]]
"""SOP instance UID -> transfer syntax, digest of the data set."""


class Service(StrEnum):
    """The DIMSE services of the table."""

    ECHO = "C-ECHO"
    STORE = "C-STORE"
    FIND = "C-FIND"
    GET = "C-GET"
    MOVE = "C-MOVE"


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: of the authority, and of one party."""

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Call:
    """How a client reaches its target, and about what.

    Args:
        study: the study to query and retrieve.
        files: to store, by transfer syntax.
        destination: AE title that a C-MOVE names.
        directory: empty, for what the client writes.
    """

    port: int
    called: str
    directory: Path
    pdu: int = 16384
    tls: Certificates | None = None
    study: str = ""
    files: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    destination: str = ""

    def all_files(self) -> list[Path]:
        """Return every file to store."""
        return [path for paths in self.files.values() for path in paths]


@dataclass(frozen=True, slots=True)
class Serving:
    """How a target is to serve. `destinations`: AE title -> port on 127.0.0.1."""

    title: str
    port: int
    directory: Path
    pdu: int = 16384
    tls: Certificates | None = None
    destinations: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client's operation came to: whether it says that it went well, and what it got."""

    good: bool
    facts: tuple[object, ...] = ()
    output: str = field(default="", compare=False)


class Client(Protocol):
    """A peer that asks."""

    @property
    def name(self) -> str:
        """For the table."""

    @property
    def services(self) -> frozenset[Service]:
        """What it can ask for."""

    @property
    def speaks_tls(self) -> bool:
        """Whether it can do so over TLS."""

    def perform(self, service: Service, call: Call) -> Outcome:
        """Do it once."""


class Running(Protocol):
    """A target that serves."""

    def stored(self) -> Stored:
        """Return what it has been given to keep."""


class Target(Protocol):
    """A peer that serves."""

    @property
    def name(self) -> str:
        """For the table."""

    @property
    def services(self) -> frozenset[Service]:
        """What it can be asked for."""

    @property
    def speaks_tls(self) -> bool:
        """Whether it can do so over TLS."""

    def serve(self, serving: Serving) -> AbstractContextManager[Running]:
        """Run until the block ends."""


def digest(data: bytes) -> str:
    """Return what stands for a data set in an outcome."""
    return hashlib.sha256(data).hexdigest()[:16]


def stored_files(taken: Mapping[str, DicomFile]) -> Stored:
    """Return the digests of DICOM files by SOP instance UID."""
    return {uid: (file.transfer_syntax, digest(file.data)) for uid, file in sorted(taken.items())}


def is_dicom(path: Path) -> bool:
    """Tell a DICOM file from an archive's index and the like."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


@dataclass(frozen=True, slots=True)
class Directory:
    """A target that writes DICOM files."""

    path: Path

    def stored(self) -> Stored:
        """Return the DICOM files in the directory."""
        taken = [take_apart(path) for path in self.path.rglob("*") if is_dicom(path)]
        return stored_files({file.sop_instance: file for file in taken})
