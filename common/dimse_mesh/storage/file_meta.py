"""The File Meta Information of a stored object (PS3.10 §7.1)."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from dimse_mesh.endpoint.own import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PREAMBLE: Final = bytes(128) + b"DICM"
_short: Final = Struct("<HH2sH")
_long: Final = Struct("<HH2sHI")
_TRANSFER_SYNTAX: Final = 0x0010
LONGEST_META: Final = 1 << 16


class FileHead(NamedTuple):
    """What the head of a file says.

    Attributes:
        size: bytes in front of the data set.
    """

    size: int
    transfer_syntax: str


def file_head(*, sop_class: str, sop_instance: str, transfer_syntax: str, source_ae: str) -> bytes:
    """Return all of a file that stands before its data set."""
    body = _long.pack(2, 0x0001, b"OB", 0, 2) + b"\0\1"
    for number, vr, value in (
        (0x0002, b"UI", sop_class),
        (0x0003, b"UI", sop_instance),
        (_TRANSFER_SYNTAX, b"UI", transfer_syntax),
        (0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
        (0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
        (0x0016, b"AE", source_ae),
    ):
        encoded = value.encode("latin-1", "replace")
        if len(encoded) % 2:
            encoded += b"\0" if vr == b"UI" else b" "
        body += _short.pack(2, number, vr, len(encoded)) + encoded
    return _PREAMBLE + _short.pack(2, 0, b"UL", 4) + len(body).to_bytes(4, "little") + body


def parse_head(head: bytes) -> FileHead | None:
    """Read a file's first bytes; None: they are no head, or not all of it."""
    start = len(_PREAMBLE) + _short.size + 4
    if len(head) < start or head[128:132] != b"DICM":
        return None
    size = start + int.from_bytes(head[start - 4 : start], "little")
    if size > LONGEST_META or len(head) < size:
        return None
    at = start
    while at + 8 <= size:
        _, number, vr, length = _short.unpack_from(head, at)
        at += 8
        if vr in {b"OB", b"UT", b"UN"}:
            length = int.from_bytes(head[at : at + 4], "little")
            at += 4
        if number == _TRANSFER_SYNTAX:
            return FileHead(size, str(head[at : at + length], "latin-1").strip("\0 "))
        at += length
    return None
