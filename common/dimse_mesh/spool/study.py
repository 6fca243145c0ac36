"""Find the Study Instance UID of a data set in its first bytes (PS3.5 §7).

A data set is read here for its order alone: objects of one study are delivered one after the other. So nothing is
judged: what can't be read has no study.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from dimse_mesh.dimse.encoding import DEFLATED, EXPLICIT_BE, IMPLICIT_LE, LONG_VRS

_STUDY_INSTANCE_UID: Final = (0x0020, 0x000D)
_ITEM: Final = (0xFFFE, 0xE000)
_ITEM_END: Final = (0xFFFE, 0xE00D)
_SEQUENCE_END: Final = (0xFFFE, 0xE0DD)
_UNDEFINED: Final = 0xFFFF_FFFF
_tag: Final = Struct("<HH").unpack_from
_short: Final = Struct("<H").unpack_from
_long: Final = Struct("<I").unpack_from


def study_instance_uid(head: bytes, transfer_syntax: str) -> str:
    """Return the Study Instance UID, if it stands within `head`, the data set's first bytes; else nothing."""
    if transfer_syntax in DEFLATED or transfer_syntax == EXPLICIT_BE:
        return ""
    implicit = transfer_syntax == IMPLICIT_LE
    at, depth, end = 0, 0, len(head)
    while at + 8 <= end:
        tag = _tag(head, at)
        if tag[0] == 0xFFFE:
            length = _long(head, at + 4)[0]
            at += 8
            if tag == _ITEM:
                if length == _UNDEFINED:
                    depth += 1
                elif depth:  # an item of an undefined sequence: its content is of no interest
                    at += length
            elif tag in {_ITEM_END, _SEQUENCE_END}:
                depth -= 1
            continue
        if depth == 0 and tag > _STUDY_INSTANCE_UID:
            return ""
        if implicit:
            length, at = _long(head, at + 4)[0], at + 8
        elif head[at + 4 : at + 6] in LONG_VRS:
            if at + 12 > end:
                return ""
            length, at = _long(head, at + 8)[0], at + 12
        else:
            length, at = _short(head, at + 6)[0], at + 8
        if length == _UNDEFINED:
            depth += 1
            continue
        if depth == 0 and tag == _STUDY_INSTANCE_UID:
            return head[at : at + length].decode("latin-1").strip("\0 ") if at + length <= end else ""
        at += length
    return ""
