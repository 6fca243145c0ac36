"""The hash chain of a trail's files.

A file's first line says where in the trail it begins; each further line is a record:

    # dimse-mesh audit trail, after NUMBER HASH
    NUMBER HASH MESSAGE

HASH is HMAC-SHA-256, in hexadecimal, over the HASH before it, the number and the message. Without a key it shows what
was lost or changed by accident, or by somebody who did not compute the rest of the chain anew; with a key, nobody
without that key can do so.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple

NO_HASH: Final = "0" * 64
_HEADER: Final = b"# dimse-mesh audit trail, after "


class ChainLink(NamedTuple):
    """Where a chain stands: number and hash of a record."""

    number: int = 0
    hash: str = NO_HASH


class TrailEntry(NamedTuple):
    """A line of a trail."""

    link: ChainLink
    message: bytes


class NotAnEntry(ValueError):
    """A line that is neither a header nor a record."""


def next_link(before: ChainLink, message: bytes, key: bytes) -> ChainLink:
    """Return the link of the record that follows `before`."""
    number = before.number + 1
    told = f"{before.hash} {number} ".encode() + message
    return ChainLink(number, hmac.new(key, told, hashlib.sha256).hexdigest())


def header_line(after: ChainLink) -> bytes:
    """Return the first line of a file that continues a chain."""
    return b"%b%d %b\n" % (_HEADER, after.number, after.hash.encode())


def entry_line(entry: TrailEntry) -> bytes:
    """Return the line of a record."""
    return b"%d %b %b\n" % (entry.link.number, entry.link.hash.encode(), entry.message)


def parse_header(line: bytes) -> ChainLink:
    """Return where a file's chain begins.

    Raises:
        NotAnEntry: it is no header.
    """
    if not line.startswith(_HEADER):
        raise NotAnEntry("the first line is no header of an audit trail")
    return _link(line[len(_HEADER) :].rstrip(b"\n").split(b" "))


def parse_entry(line: bytes) -> TrailEntry:
    """Return what a line holds.

    Raises:
        NotAnEntry: it is no record, or not a whole line.
    """
    if not line.endswith(b"\n"):
        raise NotAnEntry("a line without an end")
    number, _, rest = line[:-1].partition(b" ")
    digest, _, message = rest.partition(b" ")
    return TrailEntry(_link([number, digest]), message)


def _link(fields: list[bytes]) -> ChainLink:
    if len(fields) != 2 or not fields[0].isdigit() or len(fields[0]) > 18 or len(fields[1]) != len(NO_HASH):
        raise NotAnEntry("a line that is no record")
    try:
        return ChainLink(int(fields[0]), fields[1].decode("ascii"))
    except UnicodeDecodeError:
        raise NotAnEntry("a line that is no record") from None
