"""Command sets (PS3.7 §6.3.1, Annex E): implicit VR little endian, kept byte for byte.

`CommandSet` gives access to each element, and makes new command sets. It keeps elements that it doesn't know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, final

from dimse_mesh.dimse.elements import Element, element, encode_value, split
from dimse_mesh.dimse.head import PENDING, RESPONSE_BIT, CommandField, CommandHead, parse_head
from dimse_mesh.dimse.tags import VALUE_REPRESENTATIONS, Tag


@final
class CommandSet:
    """A command set. Immutable; equal if its bytes are.

    A number or text is None if its element is absent or empty. If an element has several values, the first one
    counts; if an element is repeated, the last one counts.
    """

    __slots__ = ("_elements", "_encoded", "_head", "_rest", "_values")

    _elements: tuple[Element, ...]
    _rest: bytes
    _values: dict[int, bytes]
    _encoded: bytes
    _head: CommandHead

    def __init__(self) -> None:
        raise TypeError("use CommandSet.parse or CommandSet.build")

    @classmethod
    def parse(cls, data: bytes | memoryview) -> CommandSet:
        """Read a command set; `encode` will return the same bytes.

        Raises:
            CommandSetError: as `parse_head`.
        """
        encoded = bytes(data)
        return cls._make(*split(encoded), encoded)

    @classmethod
    def build(cls, elements: Mapping[int, bytes | int | str]) -> CommandSet:
        """Make a command set of these elements, in tag order, with the group length computed.

        Raises:
            ValueError: a value doesn't fit its element, or CommandField or CommandDataSetType is missing.
        """
        return cls._of(element(tag, encode_value(tag, elements[tag])) for tag in sorted(elements))

    def replace(self, changes: Mapping[int, bytes | int | str | None]) -> CommandSet:
        """Return a copy with these elements set, or removed (None), and the group length computed anew.

        Elements that were there stay in their place; new ones are inserted in tag order. All else stays as it is.
        Integers are written as US or UL (one AT value as 0xGGGGEEEE), texts padded to an even length
        (UI with a null, AE and LO with a space), bytes as they are.

        Raises:
            ValueError: a value doesn't fit its element, or CommandField or CommandDataSetType is removed.
        """
        new = {
            tag: element(tag, encode_value(tag, value)) for tag, value in changes.items() if value is not None
        }
        kept = [new.get(old.tag, old) for old in self._elements if changes.get(old.tag, b"") is not None]
        for tag in sorted(new.keys() - self._values.keys()):
            position = next((at for at, other in enumerate(kept) if other.tag > tag), len(kept))
            kept.insert(position, new[tag])
        return self._of(kept, self._rest)

    def encode(self) -> bytes:
        """Return the bytes of the command set, group length included."""
        return self._encoded

    def get(self, tag: int) -> bytes | None:
        """Return the value of an element as it was sent, padding included; None if it is absent."""
        return self._values.get(tag)

    def __contains__(self, tag: int) -> bool:
        return tag in self._values

    def __iter__(self) -> Iterator[int]:
        """Iterate over the tags, in the order in which the elements were sent."""
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def elements(self) -> Mapping[int, bytes]:
        """The values, by tag, in the order in which they were sent; read-only."""
        return MappingProxyType(self._values)

    def number(self, tag: int) -> int | None:
        """Return the value of a US or UL element; None if it is absent or empty."""
        value = self._values.get(tag)
        if not value:
            return None
        longest = 2 if VALUE_REPRESENTATIONS.get(tag) == "US" else 4
        return int.from_bytes(value[:longest], "little")

    def uid(self, tag: int) -> str | None:
        """Return the value of a UI element without its padding; None if it is absent or empty.

        It may be no UID: what peers send there is read as ISO 8859-1, as in `text`.
        """
        return self.text(tag)

    def text(self, tag: int) -> str | None:
        """Return the value of an AE or LO element without its padding; None if it is absent or blank.

        Read as ISO 8859-1, in which every byte is a character: what peers send outside of the default
        repertoire (PS3.5 §6.2) stays distinguishable.
        """
        value = self._values.get(tag)
        return str(value, "latin-1").strip("\0 ") or None if value is not None else None

    @property
    def command_field(self) -> int:
        """The message's kind; one of `CommandField`, unless the peer sent something unknown."""
        return self._head.command_field

    @property
    def has_data_set(self) -> bool:
        return self._head.has_data_set

    @property
    def is_response(self) -> bool:
        return self.command_field & RESPONSE_BIT != 0

    @property
    def is_pending(self) -> bool:
        """True for a response after which more will come."""
        return self.status in PENDING

    def answers(self, request: CommandSet) -> bool:
        """Tell whether this is a response to that request: of its service, and with its message id."""
        return (
            self.command_field == request.command_field | RESPONSE_BIT
            and self.message_id_being_responded_to == request.message_id
        )

    @property
    def message_id(self) -> int | None:
        return self.number(Tag.MessageID)

    @property
    def message_id_being_responded_to(self) -> int | None:
        return self.number(Tag.MessageIDBeingRespondedTo)

    @property
    def status(self) -> int | None:
        return self.number(Tag.Status)

    @property
    def priority(self) -> int | None:
        return self.number(Tag.Priority)

    @property
    def affected_sop_class_uid(self) -> str | None:
        return self.uid(Tag.AffectedSOPClassUID)

    @property
    def requested_sop_class_uid(self) -> str | None:
        return self.uid(Tag.RequestedSOPClassUID)

    @property
    def affected_sop_instance_uid(self) -> str | None:
        return self.uid(Tag.AffectedSOPInstanceUID)

    @property
    def requested_sop_instance_uid(self) -> str | None:
        return self.uid(Tag.RequestedSOPInstanceUID)

    @property
    def move_destination(self) -> str | None:
        return self.text(Tag.MoveDestination)

    @property
    def move_originator_ae(self) -> str | None:
        return self.text(Tag.MoveOriginatorApplicationEntityTitle)

    @property
    def move_originator_message_id(self) -> int | None:
        return self.number(Tag.MoveOriginatorMessageID)

    @property
    def event_type_id(self) -> int | None:
        return self.number(Tag.EventTypeID)

    @property
    def action_type_id(self) -> int | None:
        return self.number(Tag.ActionTypeID)

    @property
    def remaining_suboperations(self) -> int | None:
        return self.number(Tag.NumberOfRemainingSuboperations)

    @property
    def completed_suboperations(self) -> int | None:
        return self.number(Tag.NumberOfCompletedSuboperations)

    @property
    def failed_suboperations(self) -> int | None:
        return self.number(Tag.NumberOfFailedSuboperations)

    @property
    def warning_suboperations(self) -> int | None:
        return self.number(Tag.NumberOfWarningSuboperations)

    @property
    def error_comment(self) -> str | None:
        """The peer's own words; may hold patient data, so not for logs."""
        return self.text(Tag.ErrorComment)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CommandSet) and self._encoded == other._encoded

    def __hash__(self) -> int:
        return hash(self._encoded)

    def __repr__(self) -> str:
        """Name the message, without any value that could identify a patient."""
        field = self.command_field
        name = CommandField(field).name if field in _KNOWN_FIELDS else f"0x{field:04X}"
        ids = f"message_id={self.message_id}, responded_to={self.message_id_being_responded_to}"
        status = "" if self.status is None else f", status=0x{self.status:04X}"
        return f"<CommandSet {name} {ids}{status}>"

    @classmethod
    def _make(cls, elements: Iterable[Element], rest: bytes, encoded: bytes) -> CommandSet:
        self = object.__new__(cls)
        self._head = parse_head(encoded)
        self._elements = tuple(elements)
        self._values = {element.tag: element.value for element in self._elements}
        self._rest = rest
        self._encoded = encoded
        return self

    @classmethod
    def _of(cls, elements: Iterable[Element], rest: bytes = b"") -> CommandSet:
        others = [element for element in elements if element.tag != Tag.CommandGroupLength]
        if not {Tag.CommandField, Tag.CommandDataSetType} <= {element.tag for element in others}:
            raise ValueError("a command set needs CommandField and CommandDataSetType")
        body = b"".join([element.encoded for element in others]) + rest
        # PS3.7 §6.3.1: the group length comes first, and counts the bytes after itself.
        group_length = element(Tag.CommandGroupLength, len(body).to_bytes(4, "little"))
        return cls._make((group_length, *others), rest, group_length.encoded + body)


_KNOWN_FIELDS: Final = frozenset(CommandField)
