"""Checks the hash chain of a trail: whether records are missing or were changed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dimse_mesh.audit.chain import ChainLink, NotAnEntry, next_link, parse_entry, parse_header
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
    """Check all files of a folder, and that each goes on where the one before it ends.

    Raises:
        BrokenChain: at the first line that isn't right, or between two files.
        OSError: it can't be read.
    """
    files = sorted(directory.glob(f"*{SUFFIX}"))
    if not files:
        raise BrokenChain(f"{directory}: there is no audit trail")
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
    return whole
