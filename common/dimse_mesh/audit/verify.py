"""Checks the hash chain of a trail: whether records are missing or were changed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dimse_mesh.audit.chain import ChainLink, NotAnEntry, next_link, parse_entry, parse_header
from dimse_mesh.audit.extent import NAME, TrailExtent, UnknownExtent, read_extent
from dimse_mesh.audit.trail import SUFFIX


class Verified(NamedTuple):
    """A part of a trail that is whole.

    Attributes:
        begins: the link before its first record.
        ends: the link of its last record.
    """

    begins: ChainLink
    ends: ChainLink


class BrokenChain(Exception):
    """Records are missing, or were changed; the text says where."""


def verify_file(path: Path, key: bytes = b"") -> Verified:
    """Check one file.

    Raises:
        BrokenChain: at the first line that isn't right.
        OSError: it can't be read.
    """
    begins = link = ChainLink()
    with path.open("rb") as file:
        for row, line in enumerate(file, 1):
            try:
                if row == 1:
                    begins = link = parse_header(line)
                    continue
                entry = parse_entry(line)
            except NotAnEntry as error:
                raise BrokenChain(f"{path}:{row}: {error}") from error
            if entry.link.number != link.number + 1:
                raise BrokenChain(
                    f"{path}:{row}: record {entry.link.number} follows record {link.number}: records are missing"
                )
            expected = next_link(link, entry.message, key)
            if entry.link != expected:
                raise BrokenChain(
                    f"{path}:{row}: record {entry.link.number} is not the one that was written here,"
                    " or one before it was changed, or the key is another"
                )
            link = expected
    if begins == link == ChainLink():
        with path.open("rb") as file:
            if not file.read(1):
                raise BrokenChain(f"{path}: it is empty")
    return Verified(begins, link)


def verify_trail(directory: Path, key: bytes = b"") -> Verified:
    """Check all files of a folder, that each goes on where the one before it ends, and that none is gone at either end.

    Raises:
        BrokenChain: at the first line that isn't right, between two files, or at an end.
        OSError: it can't be read.
    """
    if not any(directory.glob(f"*{SUFFIX}")) and not (directory / NAME).exists():
        raise BrokenChain(f"{directory}: there is no audit trail")
    extent = _extent(directory, key)  # first, since records may come meanwhile
    files = sorted(directory.glob(f"*{SUFFIX}"))
    if not files:
        raise BrokenChain(f"{directory}: records {extent.first} to {extent.last.number} were removed")
    whole: Verified | None = None
    for path in files:
        part = verify_file(path, key)
        if whole is not None and part.begins != whole.ends:
            raise BrokenChain(
                f"{path}: it begins after record {part.begins.number}, the file before it ends with record"
                f" {whole.ends.number}, or was changed"
            )
        whole = Verified(part.begins if whole is None else whole.begins, part.ends)
    assert whole is not None
    if whole.ends.number < extent.last.number:
        raise BrokenChain(
            f"{directory}: it ends with record {whole.ends.number}: records {whole.ends.number + 1} to"
            f" {extent.last.number} were removed"
        )
    first = _extent(directory, key).first  # by now: the oldest file may have gone meanwhile
    if whole.begins.number + 1 > first:
        raise BrokenChain(
            f"{directory}: it begins with record {whole.begins.number + 1}: records {first} to"
            f" {whole.begins.number} were removed, and not to make room"
        )
    return whole


def _extent(directory: Path, key: bytes) -> TrailExtent:
    try:
        return read_extent(directory, key)
    except UnknownExtent as unknown:
        raise BrokenChain(
            f"{directory}: {unknown}: nobody can tell whether its newest or oldest records were removed"
        ) from unknown
