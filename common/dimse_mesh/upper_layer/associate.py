"""A-ASSOCIATE-RQ and A-ASSOCIATE-AC (PS3.8 §9.3.2, §9.3.3): rewrite what is ours, pass the rest as it is.

byte   7-8    protocol version
       9-10   reserved
      11-26   called AE title      in an AC: reserved, sent as in the RQ, not tested
      27-42   calling AE title     in an AC: reserved, sent as in the RQ, not tested
      43-74   reserved
      75-     items
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from struct import Struct
from typing import ClassVar, Self, TypeVar

from dimse_mesh.upper_layer.encoded import (
    ITEM_HEADER_LENGTH,
    LONGEST_ITEM,
    Encoded,
    Remainder,
    decode_items,
)
from dimse_mesh.upper_layer.errors import MalformedPdu
from dimse_mesh.upper_layer.items import (
    ITEM_DECODERS,
    ApplicationContext,
    PresentationContextAC,
    PresentationContextRQ,
    UserInformation,
)
from dimse_mesh.upper_layer.pdu import PduType, encode_pdu
from dimse_mesh.upper_layer.user_items import (
    AsynchronousOperationsWindow,
    ImplementationClassUID,
    ImplementationVersionName,
    MaximumLength,
)

AE_TITLE_LENGTH = 16
MAX_IMPLEMENTATION_VERSION_NAME = 16
_FIXED = Struct(">H2s16s16s32s")  # bytes 7-74
_ItemT = TypeVar("_ItemT", bound=Encoded)


def ae_title_bytes(title: str) -> bytes:
    """Pad a title with spaces to its 16 bytes; `ValueError` if it is empty, too long, or not latin-1."""
    raw = title.encode("latin-1")
    if not title.strip(" ") or len(raw) > AE_TITLE_LENGTH:
        raise ValueError(f"an AE title has 1 to {AE_TITLE_LENGTH} characters, not only spaces: {title!r}")
    return raw.ljust(AE_TITLE_LENGTH)


def ae_title_text(raw: bytes) -> str:
    """Strip leading and trailing spaces (PS3.8 table 9-11), and NULs, which some peers send."""
    return raw.decode("latin-1").strip(" \0")


@dataclass(frozen=True, slots=True)
class _Own:
    """The three user items that are each hop's own."""

    maximum_length: MaximumLength
    class_uid: ImplementationClassUID
    version_name: ImplementationVersionName | None

    def replaced_in(self, items: Iterable[Encoded]) -> list[Encoded]:
        mine: list[Encoded] = []
        for item in items:
            if isinstance(item, MaximumLength):
                mine.append(self.maximum_length)
            elif isinstance(item, ImplementationClassUID):
                mine.append(self.class_uid)
            elif not isinstance(item, ImplementationVersionName):
                mine.append(item)
            elif self.version_name is not None:
                mine.append(self.version_name)
        return mine

    def inserted_into(self, items: list[Encoded], present: set[type[Encoded]]) -> list[Encoded]:
        items = list(items)
        if MaximumLength not in present:
            items.insert(0, self.maximum_length)
        if ImplementationClassUID not in present:
            items.insert(_after(items, MaximumLength), self.class_uid)
        if self.version_name is not None and ImplementationVersionName not in present:
            items.insert(_after(items, ImplementationClassUID), self.version_name)
        return items


def _after(items: list[Encoded], kind: type[Encoded]) -> int:
    """Where to insert behind the first item of this class; at the end, before a remainder, if it isn't here."""
    end = next((at for at, item in enumerate(items) if isinstance(item, Remainder)), len(items))
    return next((at + 1 for at, item in enumerate(items) if isinstance(item, kind)), end)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Associate:
    """What the two PDUs share: all of their layout. `decode` then `encode` gives the same bytes."""

    pdu_type: ClassVar[PduType]

    protocol_version: int = 1
    called_ae_bytes: bytes
    calling_ae_bytes: bytes
    items: tuple[Encoded, ...]
    reserved: bytes = bytes(2)
    """Bytes 9-10."""
    reserved_tail: bytes = bytes(32)
    """Bytes 43-74."""

    @classmethod
    def decode(cls, body: bytes | bytearray | memoryview) -> Self:
        """Read the body (after the six header bytes), which is copied.

        Raises only `MalformedPdu`: it is too short, or an item is longer than the PDU.
        """
        data = bytes(body)
        if len(data) < _FIXED.size:
            raise MalformedPdu(f"{cls.pdu_type.name} PDU is too short for its fixed fields")
        version, reserved, called, calling, tail = _FIXED.unpack_from(data)
        items = tuple(decode_items(data, _FIXED.size, len(data), ITEM_DECODERS))
        if items and isinstance(items[-1], Remainder) and len(items[-1].data) >= ITEM_HEADER_LENGTH:
            raise MalformedPdu(f"an item of the {cls.pdu_type.name} PDU is longer than the PDU")
        return cls(
            protocol_version=version,
            called_ae_bytes=called,
            calling_ae_bytes=calling,
            items=items,
            reserved=reserved,
            reserved_tail=tail,
        )

    @classmethod
    def build(
        cls,
        *,
        called_ae: str,
        calling_ae: str,
        contexts: Iterable[Encoded],
        maximum_length: int,
        implementation_class_uid: str,
        implementation_version_name: str,
        user_items: Iterable[Encoded] = (),
    ) -> Self:
        """Make a PDU of our own; `ValueError` as `ae_title_bytes` and `replace_own`."""
        blank = cls(
            called_ae_bytes=ae_title_bytes(called_ae),
            calling_ae_bytes=ae_title_bytes(calling_ae),
            items=(ApplicationContext(), *contexts, UserInformation(tuple(user_items))),
        )
        return blank.replace_own(
            maximum_length=maximum_length,
            implementation_class_uid=implementation_class_uid,
            implementation_version_name=implementation_version_name,
        )

    @property
    def called_ae(self) -> str:
        """The called AE title's significant text."""
        return ae_title_text(self.called_ae_bytes)

    @property
    def calling_ae(self) -> str:
        """The calling AE title's significant text."""
        return ae_title_text(self.calling_ae_bytes)

    @property
    def operations_window(self) -> tuple[int, int]:
        """Operations that requestor and acceptor may have outstanding; 0 is unlimited (PS3.7 §D.3.3.3)."""
        window = self.user_item(AsynchronousOperationsWindow)
        return (1, 1) if window is None else (window.maximum_invoked, window.maximum_performed)

    @property
    def application_context(self) -> str:
        """The application context name, as sent; empty if there is none."""
        return next((item.name for item in self.items if isinstance(item, ApplicationContext)), "")

    @property
    def maximum_length(self) -> int | None:
        """The longest P-DATA-TF body that the sender receives; 0 and None (nothing said) are no limit."""
        item = self.user_item(MaximumLength)
        return None if item is None else item.value

    def user_items(self, kind: type[_ItemT]) -> tuple[_ItemT, ...]:
        """Give every user item of this class, in order."""
        return tuple(
            item
            for information in self.items
            if isinstance(information, UserInformation)
            for item in information.items
            if isinstance(item, kind)
        )

    def user_item(self, kind: type[_ItemT]) -> _ItemT | None:
        """Give the first user item of this class."""
        return next(iter(self.user_items(kind)), None)

    def encode(self) -> bytes:
        """Give the whole PDU; `ValueError` if a value doesn't fit its field."""
        items = b"".join([item.encode() for item in self.items])
        fixed = _FIXED.pack(
            self.protocol_version,
            self.reserved,
            self.called_ae_bytes,
            self.calling_ae_bytes,
            self.reserved_tail,
        )
        return encode_pdu(self.pdu_type, fixed + items)

    def replace_own(
        self, *, maximum_length: int, implementation_class_uid: str, implementation_version_name: str
    ) -> Self:
        """Put our own three user items in the place of the peer's; everything else stays, byte for byte.

        What the peer didn't send is inserted: the maximum length first, the class UID after it, the version
        name after that. An empty version name removes the peer's. `ValueError` if it is longer than 16;
        `MalformedPdu` if the peer's user information is so long that ours don't fit.
        """
        if len(implementation_version_name) > MAX_IMPLEMENTATION_VERSION_NAME:
            raise ValueError(f"version name longer than {MAX_IMPLEMENTATION_VERSION_NAME} characters")
        own = _Own(
            MaximumLength(maximum_length),
            ImplementationClassUID(implementation_class_uid),
            ImplementationVersionName(implementation_version_name) if implementation_version_name else None,
        )
        items = list(self.items)
        places = [at for at, item in enumerate(items) if isinstance(item, UserInformation)]
        if not places:
            places = [_after(items, UserInformation)]
            items.insert(places[0], UserInformation(()))
        present = {type(user_item) for user_item in self.user_items(Encoded)}
        for nth, at in enumerate(places):
            information = items[at]
            assert isinstance(information, UserInformation)
            user_items = own.replaced_in(information.items)
            if nth == 0:  # whatever no user information item holds goes into the first one
                user_items = own.inserted_into(user_items, present)
            length = sum(len(item.encode()) for item in user_items)
            if length > LONGEST_ITEM:
                raise MalformedPdu("the user information leaves no room for our own items")
            items[at] = replace(information, items=tuple(user_items))
        return replace(self, items=tuple(items))

    def with_ae_titles(self, called: str | None, calling: str | None) -> Self:
        """Set one or both titles; None leaves one byte for byte. `ValueError` as `ae_title_bytes`."""
        return replace(
            self,
            called_ae_bytes=self.called_ae_bytes if called is None else ae_title_bytes(called),
            calling_ae_bytes=self.calling_ae_bytes if calling is None else ae_title_bytes(calling),
        )

    def with_ae_title_bytes(self, called: bytes, calling: bytes) -> Self:
        """Set both 16-byte fields: an AC echoes its RQ's (PS3.8 §9.3.3). `ValueError` for other sizes."""
        if len(called) != AE_TITLE_LENGTH or len(calling) != AE_TITLE_LENGTH:
            raise ValueError(f"AE title fields have {AE_TITLE_LENGTH} bytes")
        return replace(self, called_ae_bytes=called, calling_ae_bytes=calling)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateRQ(_Associate):
    """A-ASSOCIATE-RQ (PS3.8 §9.3.2)."""

    pdu_type: ClassVar[PduType] = PduType.ASSOCIATE_RQ

    @property
    def presentation_contexts(self) -> tuple[PresentationContextRQ, ...]:
        """The contexts proposed, in order."""
        return tuple(item for item in self.items if isinstance(item, PresentationContextRQ))


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateAC(_Associate):
    """A-ASSOCIATE-AC (PS3.8 §9.3.3)."""

    pdu_type: ClassVar[PduType] = PduType.ASSOCIATE_AC

    @property
    def presentation_contexts(self) -> tuple[PresentationContextAC, ...]:
        """The contexts answered, in order."""
        return tuple(item for item in self.items if isinstance(item, PresentationContextAC))

    @property
    def accepted_context_ids(self) -> frozenset[int]:
        """Ids of the contexts that may be used."""
        return frozenset(context.context_id for context in self.presentation_contexts if context.accepted)
