"""Sub-items of the user information item (PS3.7 annex D.3.3; maximum length: PS3.8 annex D.1).

UIDs are the raw bytes as latin-1 text, with whatever padding the peer sent; compare with `significant_uid`.
What follows the last field of an item is not read, and kept (`encoded`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final

from dimse_mesh.upper_layer.encoded import (
    ITEM_HEADER_LENGTH,
    Decoder,
    Encoded,
    counted,
    encode_counted,
    encode_item,
)
from dimse_mesh.upper_layer.errors import MalformedPdu

LONGEST_UID: Final = 64
"""Characters of a UID, at most (PS3.5 §9.1)."""
_TWO_UINT16 = Struct(">HH")


def significant_uid(uid: str) -> str:
    """Strip the padding that some peers send after a UID, though PS3.8 annex F forbids it here."""
    return uid.rstrip("\0 ")


@dataclass(frozen=True, slots=True)
class MaximumLength(Encoded):
    """51H: the longest P-DATA-TF body that the sender of this item receives; 0 is unlimited (PS3.8 §D.1)."""

    item_type: ClassVar[int] = 0x51

    value: int

    def _data(self) -> bytes:
        return _uint(self.value, 4)


@dataclass(frozen=True, slots=True)
class ImplementationClassUID(Encoded):
    """52H (PS3.7 §D.3.3.2.1)."""

    item_type: ClassVar[int] = 0x52

    uid: str

    def _data(self) -> bytes:
        return self.uid.encode("latin-1")


@dataclass(frozen=True, slots=True)
class AsynchronousOperationsWindow(Encoded):
    """53H: operations and sub-operations that may be outstanding; 0 is unlimited (PS3.7 §D.3.3.3)."""

    item_type: ClassVar[int] = 0x53

    maximum_invoked: int
    maximum_performed: int

    def _data(self) -> bytes:
        return _uint(self.maximum_invoked, 2) + _uint(self.maximum_performed, 2)


@dataclass(frozen=True, slots=True)
class RoleSelection(Encoded):
    """54H (PS3.7 §D.3.3.4); the roles are 0 or 1 by the standard, any byte passes."""

    item_type: ClassVar[int] = 0x54

    sop_class_uid: str
    scu_role: int
    scp_role: int

    def _data(self) -> bytes:
        return encode_counted(self.sop_class_uid.encode("latin-1")) + bytes((self.scu_role, self.scp_role))


@dataclass(frozen=True, slots=True)
class ImplementationVersionName(Encoded):
    """55H: 1 to 16 characters by the standard (PS3.7 §D.3.3.2.3)."""

    item_type: ClassVar[int] = 0x55

    name: str

    def _data(self) -> bytes:
        return self.name.encode("latin-1")


@dataclass(frozen=True, slots=True)
class SOPClassExtendedNegotiation(Encoded):
    """56H: what the SOP class defines (PS3.7 §D.3.3.5)."""

    item_type: ClassVar[int] = 0x56

    sop_class_uid: str
    service_class_application_information: bytes

    def _data(self) -> bytes:
        return (
            encode_counted(self.sop_class_uid.encode("latin-1")) + self.service_class_application_information
        )


@dataclass(frozen=True, slots=True)
class SOPClassCommonExtendedNegotiation(Encoded):
    """57H (PS3.7 §D.3.3.6); its second byte is no reserved one but a version, and later fields may follow."""

    item_type: ClassVar[int] = 0x57

    sop_class_uid: str
    service_class_uid: str
    related_general_sop_class_uids: tuple[str, ...] = ()
    version: int = 0
    trailing: bytes = b""

    def encode(self) -> bytes:
        """Give the whole item with its header; `ValueError` if a value doesn't fit its field."""
        return self._raw or encode_item(self.item_type, self._data(), second_byte=self.version)

    def _data(self) -> bytes:
        related = b"".join(
            encode_counted(uid.encode("latin-1")) for uid in self.related_general_sop_class_uids
        )
        uids = (self.sop_class_uid.encode("latin-1"), self.service_class_uid.encode("latin-1"), related)
        return b"".join(map(encode_counted, uids)) + self.trailing


@dataclass(frozen=True, slots=True)
class UserIdentityRQ(Encoded):
    """58H (PS3.7 §D.3.3.7.1); types above 5 pass. The fields are secrets: not in `repr`, never in a log."""

    item_type: ClassVar[int] = 0x58

    identity_type: int
    positive_response_requested: int
    primary_field: bytes
    secondary_field: bytes = b""

    def __repr__(self) -> str:
        return f"UserIdentityRQ(identity_type={self.identity_type})"

    def _data(self) -> bytes:
        kind = bytes((self.identity_type, self.positive_response_requested))
        return kind + encode_counted(self.primary_field) + encode_counted(self.secondary_field)


@dataclass(frozen=True, slots=True)
class UserIdentityAC(Encoded):
    """59H (PS3.7 §D.3.3.7.2). The response is a secret: not in `repr`, never in a log."""

    item_type: ClassVar[int] = 0x59

    server_response: bytes

    def __repr__(self) -> str:
        return "UserIdentityAC()"

    def _data(self) -> bytes:
        return encode_counted(self.server_response)


def _uint(value: int, size: int) -> bytes:
    try:
        return value.to_bytes(size, "big")
    except OverflowError as error:
        raise ValueError(f"{value} does not fit {size} bytes") from error


def _text(data: bytes, at: int, end: int) -> str:
    return data[at + ITEM_HEADER_LENGTH : end].decode("latin-1")


def _must_hold(count: int, at: int, end: int, item_type: int) -> None:
    if at + count > end:
        raise MalformedPdu(f"user information item {item_type:02X}H is too short for its fields")


def _maximum_length(data: bytes, at: int, end: int) -> MaximumLength:
    at += ITEM_HEADER_LENGTH
    return MaximumLength(int.from_bytes(data[at : min(end, at + 4)], "big"))


def _implementation_class_uid(data: bytes, at: int, end: int) -> ImplementationClassUID:
    return ImplementationClassUID(_text(data, at, end))


def _asynchronous_operations(data: bytes, at: int, end: int) -> AsynchronousOperationsWindow:
    _must_hold(8, at, end, 0x53)
    return AsynchronousOperationsWindow(*_TWO_UINT16.unpack_from(data, at + 4))


def _role_selection(data: bytes, at: int, end: int) -> RoleSelection:
    uid, at = counted(data, at + 4, end)
    _must_hold(2, at, end, 0x54)
    return RoleSelection(uid.decode("latin-1"), data[at], data[at + 1])


def _implementation_version_name(data: bytes, at: int, end: int) -> ImplementationVersionName:
    return ImplementationVersionName(_text(data, at, end))


def _extended(data: bytes, at: int, end: int) -> SOPClassExtendedNegotiation:
    uid, at = counted(data, at + 4, end)
    return SOPClassExtendedNegotiation(uid.decode("latin-1"), data[at:end])


def _common_extended(data: bytes, at: int, end: int) -> SOPClassCommonExtendedNegotiation:
    version = data[at + 1]
    sop_class, at = counted(data, at + 4, end)
    service_class, at = counted(data, at, end)
    list_data, at = counted(data, at, end)
    related: list[str] = []
    list_at, list_end = 0, len(list_data)
    while list_at < list_end:
        uid, list_at = counted(list_data, list_at, list_end)
        related.append(uid.decode("latin-1"))
    return SOPClassCommonExtendedNegotiation(
        sop_class.decode("latin-1"), service_class.decode("latin-1"), tuple(related), version, data[at:end]
    )


def _user_identity_rq(data: bytes, at: int, end: int) -> UserIdentityRQ:
    _must_hold(6, at, end, 0x58)
    identity_type, response = data[at + 4], data[at + 5]
    primary, at = counted(data, at + 6, end)
    secondary = counted(data, at, end)[0] if at < end else b""
    return UserIdentityRQ(identity_type, response, primary, secondary)


def _user_identity_ac(data: bytes, at: int, end: int) -> UserIdentityAC:
    return UserIdentityAC(counted(data, at + 4, end)[0])


USER_ITEM_DECODERS: Mapping[int, Decoder] = {
    0x51: _maximum_length,
    0x52: _implementation_class_uid,
    0x53: _asynchronous_operations,
    0x54: _role_selection,
    0x55: _implementation_version_name,
    0x56: _extended,
    0x57: _common_extended,
    0x58: _user_identity_rq,
    0x59: _user_identity_ac,
}
