"""The data sets of storage commitment (PS3.4 Annex J): an N-ACTION's request, an N-EVENT-REPORT's result.

Only what the service needs is read: elements that it doesn't know are stepped over, and nothing else is judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct, error
from typing import Final

from dimse_mesh.dimse.command import CommandSet
from dimse_mesh.dimse.encoding import EXPLICIT_LE, IMPLICIT_LE, LONG_VRS
from dimse_mesh.dimse.head import CommandField
from dimse_mesh.dimse.tags import Tag
from dimse_mesh.upper_layer import LONGEST_UID

STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"
STORAGE_COMMITMENT_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""The well-known SOP instance (PS3.4 §J.3.5)."""
REQUEST_COMMITMENT: Final = 1
"""Action type (PS3.4 §J.3.2.1.1)."""
ALL_COMMITTED: Final = 1
SOME_FAILED: Final = 2
"""Event types (PS3.4 §J.3.3.1.1)."""
COMMITMENT_SYNTAXES: Final = (EXPLICIT_LE, IMPLICIT_LE)
MOST_REFERENCES: Final = 20_000

_TRANSACTION_UID: Final = 0x0008_1195
_REFERENCED: Final = 0x0008_1199
_FAILED: Final = 0x0008_1198
_REASON: Final = 0x0008_1197
_SOP_CLASS: Final = 0x0008_1150
_SOP_INSTANCE: Final = 0x0008_1155
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD
_UNDEFINED: Final = 0xFFFF_FFFF
_DEEPEST: Final = 16
_head: Final = Struct("<HHI")
_short: Final = Struct("<H").unpack_from
_long: Final = Struct("<I").unpack_from


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance that is asked for, or told of."""

    sop_class: str
    sop_instance: str


@dataclass(frozen=True, slots=True)
class CommitmentAction:
    """What an N-ACTION asks for (PS3.4 table J.3-1)."""

    transaction: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class CommitmentResult:
    """What an N-EVENT-REPORT says (PS3.4 table J.3-2).

    Attributes:
        failed: each with its Failure Reason (PS3.3 §C.14.1.1).
    """

    transaction: str
    committed: tuple[Reference, ...]
    failed: tuple[tuple[Reference, int], ...] = ()


def read_action(data: bytes, transfer_syntax: str) -> CommitmentAction:
    """Read the Action Information of a request.

    Raises:
        ValueError: it can't be read, or lacks the transaction or the instances.
    """
    found = _read(data, transfer_syntax)
    references = _references(found.get(_REFERENCED))
    if not references:
        raise ValueError("it names no instances")
    return CommitmentAction(_uid(found.get(_TRANSACTION_UID)), references)


def read_result(data: bytes, transfer_syntax: str) -> CommitmentResult:
    """Read the Event Information of a report.

    Raises:
        ValueError: it can't be read, or lacks the transaction.
    """
    found = _read(data, transfer_syntax)
    failed = found.get(_FAILED)
    return CommitmentResult(
        _uid(found.get(_TRANSACTION_UID)),
        _references(found.get(_REFERENCED)),
        tuple(
            (reference, _number(item.get(_REASON)))
            for reference, item in zip(
                _references(failed), failed if isinstance(failed, list) else (), strict=True
            )
        ),
    )


def encode_action(action: CommitmentAction, transfer_syntax: str) -> bytes:
    """Encode the Action Information of a request."""
    explicit = transfer_syntax != IMPLICIT_LE
    items = [_item_of(reference, explicit) for reference in action.references]
    return _text(_TRANSACTION_UID, action.transaction, explicit) + _sequence(_REFERENCED, items, explicit)


def encode_result(result: CommitmentResult, transfer_syntax: str) -> bytes:
    """Encode the Event Information of a report."""
    explicit = transfer_syntax != IMPLICIT_LE
    parts = [_text(_TRANSACTION_UID, result.transaction, explicit)]
    if result.failed:
        items = [
            _item_of(reference, explicit) + _element(_REASON, b"US", reason.to_bytes(2, "little"), explicit)
            for reference, reason in result.failed
        ]
        parts.append(_sequence(_FAILED, items, explicit))
    if result.committed:
        items = [_item_of(reference, explicit) for reference in result.committed]
        parts.append(_sequence(_REFERENCED, items, explicit))
    return b"".join(parts)


def action_request(message_id: int) -> CommandSet:
    """Build the N-ACTION-RQ that asks for a commitment (PS3.7 §10.3.4.1); its data set must follow."""
    return CommandSet.build(
        {
            Tag.RequestedSOPClassUID: STORAGE_COMMITMENT,
            Tag.CommandField: CommandField.N_ACTION_RQ,
            Tag.MessageID: message_id,
            Tag.CommandDataSetType: 1,
            Tag.RequestedSOPInstanceUID: STORAGE_COMMITMENT_INSTANCE,
            Tag.ActionTypeID: REQUEST_COMMITMENT,
        }
    )


def report_request(message_id: int, result: CommitmentResult) -> CommandSet:
    """Build the N-EVENT-REPORT-RQ that tells a result (PS3.7 §10.3.1.1); its data set must follow."""
    return CommandSet.build(
        {
            Tag.AffectedSOPClassUID: STORAGE_COMMITMENT,
            Tag.CommandField: CommandField.N_EVENT_REPORT_RQ,
            Tag.MessageID: message_id,
            Tag.CommandDataSetType: 1,
            Tag.AffectedSOPInstanceUID: STORAGE_COMMITMENT_INSTANCE,
            Tag.EventTypeID: SOME_FAILED if result.failed else ALL_COMMITTED,
        }
    )


# --- reading

Found = dict[int, "bytes | list[Found]"]
"""Values and items of sequences, by tag."""


def _read(data: bytes, transfer_syntax: str) -> Found:
    try:
        found, _ = _data_set(data, 0, len(data), transfer_syntax != IMPLICIT_LE, 0)
    except (error, IndexError) as damage:
        raise ValueError("it breaks off") from damage
    return found


def _data_set(data: bytes, at: int, end: int, explicit: bool, depth: int) -> tuple[Found, int]:
    """Read elements up to `end` or an item's end; return them, and where they end."""
    found: Found = {}
    while at < end:
        group, number, length = _head.unpack_from(data, at)
        tag, start = group << 16 | number, at + 8
        if tag == _ITEM_END:
            return found, start
        vr = data[at + 4 : at + 6] if explicit else b""
        if vr in LONG_VRS:
            length, start = _long(data, at + 8)[0], at + 12
        elif explicit:
            length = _short(data, at + 6)[0]
        if length != _UNDEFINED and start + length > end:
            raise ValueError("an element is longer than what holds it")
        if length == _UNDEFINED or vr == b"SQ" or tag in (_REFERENCED, _FAILED):
            stop = end if length == _UNDEFINED else start + length
            inner = explicit and vr != b"UN"  # PS3.5 §6.2.2: what a sender doesn't know has an implicit VR
            found[tag], at = _items(data, start, stop, inner, depth + 1)
        else:
            found[tag], at = data[start : start + length], start + length
    return found, at


def _items(data: bytes, at: int, end: int, explicit: bool, depth: int) -> tuple[list[Found], int]:
    """Read the items of a sequence; return them, and where it ends."""
    if depth > _DEEPEST:
        raise ValueError("its sequences lie too deep")
    items: list[Found] = []
    while at < end:
        group, number, length = _head.unpack_from(data, at)
        at += 8
        if group << 16 | number == _SEQUENCE_END:
            break
        if group << 16 | number != _ITEM or len(items) == MOST_REFERENCES:
            raise ValueError("a sequence holds what is no item, or too many")
        stop = end if length == _UNDEFINED else at + length
        if stop > end:
            raise ValueError("an item is longer than its sequence")
        item, at = _data_set(data, at, stop, explicit, depth)
        items.append(item)
    return items, at


def _references(items: bytes | list[Found] | None) -> tuple[Reference, ...]:
    if not isinstance(items, list):
        return ()
    return tuple(Reference(_uid(item.get(_SOP_CLASS)), _uid(item.get(_SOP_INSTANCE))) for item in items)


def _uid(value: bytes | list[Found] | None) -> str:
    text = str(value, "latin-1").strip("\0 ") if isinstance(value, bytes) else ""
    if not 1 <= len(text) <= LONGEST_UID:
        raise ValueError("a UID is missing, or too long")
    return text


def _number(value: bytes | list[Found] | None) -> int:
    return int.from_bytes(value[:2], "little") if isinstance(value, bytes) else 0


# --- writing


def _item_of(reference: Reference, explicit: bool) -> bytes:
    sop_class = _text(_SOP_CLASS, reference.sop_class, explicit)
    return sop_class + _text(_SOP_INSTANCE, reference.sop_instance, explicit)


def _text(tag: int, uid: str, explicit: bool) -> bytes:
    value = uid.encode("latin-1")
    return _element(tag, b"UI", value + b"\0" * (len(value) % 2), explicit)


def _sequence(tag: int, items: Iterable[bytes], explicit: bool) -> bytes:
    value = b"".join(_head.pack(_ITEM >> 16, _ITEM & 0xFFFF, len(item)) + item for item in items)
    return _element(tag, b"SQ", value, explicit)


def _element(tag: int, vr: bytes, value: bytes, explicit: bool) -> bytes:
    group, number, size = tag >> 16, tag & 0xFFFF, len(value)
    if not explicit:
        return _head.pack(group, number, size) + value
    start = _head.pack(group, number, 0)[:4] + vr
    length = b"\0\0" + size.to_bytes(4, "little") if vr in LONG_VRS else size.to_bytes(2, "little")
    return start + length + value
