"""What one end saw, item by item, and two of them side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest

from tests.support.wire import (
    NO_DATA_SET,
    RESPONSE,
    Associate,
    Command,
    Message,
    Pdu,
    PduType,
    Tag,
    parse_associate,
    split_items,
)


class Kind(StrEnum):
    """What an end sees."""

    ASSOCIATE_RQ = "A-ASSOCIATE-RQ"
    ASSOCIATE_AC = "A-ASSOCIATE-AC"
    ASSOCIATE_RJ = "A-ASSOCIATE-RJ"
    MESSAGE = "message"
    RELEASE_RQ = "A-RELEASE-RQ"
    RELEASE_RP = "A-RELEASE-RP"
    ABORT = "A-ABORT"
    PARTIAL = "part of a message"
    CLOSED = "the connection closed"
    RESET = "the connection reset"
    FAULT = "a fault"


ENDS = frozenset((Kind.ABORT, Kind.CLOSED, Kind.RESET))
LAST = frozenset((Kind.ASSOCIATE_RJ, Kind.RELEASE_RP, Kind.ABORT))
"""What leaves nothing for its receiver to do but to close."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that an end saw.

    Args:
        value: what is compared.
        text: for people.
    """

    kind: Kind
    value: object = None
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.text}".rstrip() if self.kind is not Kind.MESSAGE else self.text


def describe(message: Message) -> str:
    """Return a line that tells messages apart."""
    elements = message.elements
    field_value = message.field
    kind = field_value & ~RESPONSE
    name = Command(kind).name if kind in set(Command) else f"{kind:04X}H"
    number = elements.get(Tag.RESPONDED_MESSAGE_ID if field_value & RESPONSE else Tag.MESSAGE_ID, b"")
    end = f"-RSP {message.status:04X}H" if field_value & RESPONSE else "-RQ"
    data = "no data set" if message.data is None else f"{len(message.data)} bytes {_digest(message.data)}"
    return (
        f"{name}{end}, message {int.from_bytes(number, 'little')}, context {message.context_id}, "
        f"command {len(message.command)} bytes {_digest(message.command)}, {data}"
    )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:6]


@dataclass(frozen=True, slots=True)
class Opening:
    """What an A-ASSOCIATE-RQ or -AC says."""

    version: bytes
    reserved: bytes
    application: tuple[bytes, ...]
    said: Associate


def associate_item(pdu: Pdu) -> Item:
    """Return the item for an A-ASSOCIATE-RQ or -AC."""
    said = parse_associate(pdu)
    application = tuple(body for kind, body in split_items(pdu.body[68:]) if kind == 0x10)
    opening = Opening(pdu.body[:2], pdu.body[2:4] + pdu.body[36:68], application, said)
    kind = Kind.ASSOCIATE_RQ if pdu.kind == PduType.ASSOCIATE_RQ else Kind.ASSOCIATE_AC
    return Item(kind, opening, _summary(opening))


def _summary(opening: Opening) -> str:
    said = opening.said
    contexts = [f"{one.id}:{one.abstract}({','.join(one.transfers)})" for one in said.contexts]
    results = [f"{one.id}:{one.result}({one.transfer})" for one in said.results]
    items = [f"{kind:02X}:{body.hex()}" for kind, body in (*said.user_items, *said.unknown_items)]
    head = f"version {opening.version.hex()} reserved {opening.reserved.hex()} {opening.application} "
    return (
        f"{head}{said.called!r} from {said.calling!r}: {' '.join((*contexts, *results))} | {' '.join(items)}"
    )


class Assembler:
    """Puts messages together from the PDVs of one direction."""

    def __init__(self) -> None:
        self._partial: dict[int, tuple[bytearray, bytearray | None]] = {}

    def add(self, body: bytes) -> list[Item]:
        """Take the body of a P-DATA-TF PDU and return the messages that it completes."""
        items: list[Item] = []
        offset = 0
        while offset < len(body):
            end = offset + 4 + int.from_bytes(body[offset : offset + 4], "big")
            if not offset + 6 <= end <= len(body):
                return [*items, Item(Kind.FAULT, "PDV length", "a PDV longer or shorter than it can be")]
            context_id, flags, fragment = body[offset + 4], body[offset + 5], body[offset + 6 : end]
            offset = end
            items += self._fragment(context_id, flags, fragment)
        return items

    def _fragment(self, context_id: int, flags: int, fragment: bytes) -> list[Item]:
        command, data = self._partial.get(context_id, (bytearray(), None))
        if bool(flags & 1) != (data is None):
            return [Item(Kind.FAULT, "fragment", "command and data set fragments in disorder")]
        if data is None:
            command += fragment
            if flags & 2:
                data = bytearray()
                message = Message(context_id, bytes(command))
                if message.number(Tag.DATA_SET_TYPE) == NO_DATA_SET:
                    self._partial.pop(context_id, None)
                    return [Item(Kind.MESSAGE, message, describe(message))]
        else:
            data += fragment
            if flags & 2:
                self._partial.pop(context_id, None)
                message = Message(context_id, bytes(command), bytes(data))
                return [Item(Kind.MESSAGE, message, describe(message))]
        self._partial[context_id] = command, data
        return []

    def rest(self) -> list[Item]:
        """Return what was begun and never completed."""
        return [
            Item(
                Kind.PARTIAL,
                (context_id, bytes(command), data),
                f"context {context_id}, {len(command)} bytes",
            )
            for context_id, (command, data) in sorted(self._partial.items())
        ]


def side_by_side(title: str, left: Sequence[Item], right: Sequence[Item]) -> str:
    """Return two transcripts in two columns, with a mark where they differ."""
    lines = [title]
    for number, (one, other) in enumerate(zip_longest(left, right)):
        mark = " " if one == other else "!"
        texts = ["-" if item is None else str(item) for item in (one, other)]
        if one == other:
            lines.append(f"{mark} {number:3} both    {_short(texts[0])}")
        else:
            lines += [
                f"{mark} {number:3} direct  {_short(texts[0])}",
                f"{mark}     mesh    {_short(texts[1])}",
            ]
    return "\n".join(lines)


def _short(text: str, most: int = 1000) -> str:
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"
