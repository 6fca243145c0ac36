"""Variable items of A-ASSOCIATE-RQ and -AC (PS3.8 §9.3.2, §9.3.3).

UIDs are the raw bytes as latin-1 text, with whatever padding the peer sent; compare with `significant_uid`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from dimse_mesh.upper_layer.encoded import (
    ITEM_HEADER_LENGTH,
    Decoder,
    Encoded,
    decode_items,
    encode_item,
    item_end,
)
from dimse_mesh.upper_layer.errors import MalformedPdu
from dimse_mesh.upper_layer.user_items import USER_ITEM_DECODERS

DICOM_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_ABSTRACT_SYNTAX = 0x30
_TRANSFER_SYNTAX = 0x40
_CONTEXT_HEADER_LENGTH = 8  # item header, context id, reserved, result or reserved, reserved


class ContextResult(IntEnum):
    """Result of a presentation context (PS3.8 table 9-18); other values pass through."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


@dataclass(frozen=True, slots=True)
class ApplicationContext(Encoded):
    """10H (PS3.8 §9.3.2.1)."""

    item_type: ClassVar[int] = 0x10

    name: str = DICOM_APPLICATION_CONTEXT

    def _data(self) -> bytes:
        return self.name.encode("latin-1")


@dataclass(frozen=True, slots=True)
class PresentationContextRQ(Encoded):
    """20H: one abstract syntax, one or more transfer syntaxes (PS3.8 §9.3.2.2).

    `abstract_syntax` is empty if the peer sent none, the first if it sent several: both break the standard,
    and are the target's to judge.
    """

    item_type: ClassVar[int] = 0x20

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]

    def _data(self) -> bytes:
        parts = [
            bytes((self.context_id, 0, 0, 0)),
            encode_item(_ABSTRACT_SYNTAX, self.abstract_syntax.encode("latin-1")),
        ]
        parts += [encode_item(_TRANSFER_SYNTAX, uid.encode("latin-1")) for uid in self.transfer_syntaxes]
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class PresentationContextAC(Encoded):
    """21H: result and transfer syntax (PS3.8 §9.3.3.2).

    The transfer syntax is significant only if the result is acceptance; empty if the peer sent none.
    """

    item_type: ClassVar[int] = 0x21

    context_id: int
    result: int
    transfer_syntax: str

    @property
    def accepted(self) -> bool:
        """Tell whether the context may be used."""
        return self.result == ContextResult.ACCEPTANCE

    def _data(self) -> bytes:
        head = bytes((self.context_id, 0, self.result, 0))
        return head + encode_item(_TRANSFER_SYNTAX, self.transfer_syntax.encode("latin-1"))


@dataclass(frozen=True, slots=True)
class UserInformation(Encoded):
    """50H: user items in their order (PS3.8 §9.3.2.3)."""

    item_type: ClassVar[int] = 0x50

    items: tuple[Encoded, ...]

    def _data(self) -> bytes:
        return b"".join([item.encode() for item in self.items])


def _context_sub_items(data: bytes, at: int, end: int) -> tuple[str | None, list[str]]:
    at += _CONTEXT_HEADER_LENGTH
    abstract: str | None = None
    syntaxes: list[str] = []
    while at < end:
        stop = item_end(data, at, end)
        if stop is None:
            break
        if data[at] == _TRANSFER_SYNTAX:
            syntaxes.append(data[at + ITEM_HEADER_LENGTH : stop].decode("latin-1"))
        elif data[at] == _ABSTRACT_SYNTAX and abstract is None:
            abstract = data[at + ITEM_HEADER_LENGTH : stop].decode("latin-1")
        at = stop
    return abstract, syntaxes


def _must_hold(count: int, at: int, end: int) -> None:
    if at + count > end:
        raise MalformedPdu("a presentation context item is too short for its fields")


def _application_context(data: bytes, at: int, end: int) -> ApplicationContext:
    return ApplicationContext(data[at + ITEM_HEADER_LENGTH : end].decode("latin-1"))


def _presentation_context_rq(data: bytes, at: int, end: int) -> PresentationContextRQ:
    _must_hold(5, at, end)
    abstract, syntaxes = _context_sub_items(data, at, end)
    return PresentationContextRQ(data[at + 4], abstract or "", tuple(syntaxes))


def _presentation_context_ac(data: bytes, at: int, end: int) -> PresentationContextAC:
    _must_hold(7, at, end)
    syntaxes = _context_sub_items(data, at, end)[1]
    return PresentationContextAC(data[at + 4], data[at + 6], syntaxes[0] if syntaxes else "")


def _user_information(data: bytes, at: int, end: int) -> UserInformation:
    return UserInformation(tuple(decode_items(data, at + ITEM_HEADER_LENGTH, end, USER_ITEM_DECODERS)))


ITEM_DECODERS: Mapping[int, Decoder] = {
    0x10: _application_context,
    0x20: _presentation_context_rq,
    0x21: _presentation_context_ac,
    0x50: _user_information,
}
