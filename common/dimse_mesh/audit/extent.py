"""How far a trail reaches, kept beside its files: so it shows when its newest or oldest records were removed.

    extent                      FIRST NUMBER HASH MAC

FIRST is the number of the oldest record that is kept, NUMBER and HASH are the link of the newest, and MAC is
HMAC-SHA-256 over them. It is written after the records themselves are on disk, so it never tells of one that isn't.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path
from typing import Final, NamedTuple

from dimse_mesh.audit.chain import ChainLink

NAME: Final = "extent"
_LENGTH: Final = 256
"""Bytes of the file, always: it is overwritten by one write."""


class TrailExtent(NamedTuple):
    """What a trail holds.

    Attributes:
        first: number of the oldest record.
        last: link of the newest.
    """

    first: int
    last: ChainLink


class UnknownExtent(Exception):
    """There is no file that says it, or it isn't the one that was written; the text says which."""


def read_extent(directory: Path, key: bytes) -> TrailExtent:
    """Return what the trail in a folder held when it was last written to.

    Raises:
        UnknownExtent: nothing says so.
        OSError: the file can't be read.
    """
    try:
        words = (directory / NAME).read_text("ascii", "replace").split()
    except FileNotFoundError:
        raise UnknownExtent(f"there is no file {NAME}") from None
    if len(words) != 4 or not (words[0].isdecimal() and words[1].isdecimal()):
        raise UnknownExtent(f"{NAME} is damaged")
    extent = TrailExtent(int(words[0]), ChainLink(int(words[1]), words[2]))
    if not hmac.compare_digest(words[3].encode(), _mac(extent, key).encode()):
        raise UnknownExtent(f"{NAME} is not what was written there, or the key is another")
    return extent


def write_extent(directory: Path, extent: TrailExtent, key: bytes) -> None:
    """Write it, in one piece. The disk may get it later than the records.

    Raises:
        OSError: it can't be written.
    """
    text = f"{extent.first} {extent.last.number} {extent.last.hash} {_mac(extent, key)}"
    handle = os.open(directory / NAME, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(handle, text.ljust(_LENGTH - 1).encode() + b"\n", 0)
    finally:
        os.close(handle)


def _mac(extent: TrailExtent, key: bytes) -> str:
    told = f"extent {extent.first} {extent.last.number} {extent.last.hash}".encode()
    return hmac.new(key, told, hashlib.sha256).hexdigest()
