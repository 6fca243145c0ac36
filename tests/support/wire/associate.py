"""A-ASSOCIATE PDUs: their fields and items (PS3.8 §9.3.2, §9.3.3, annex D; PS3.7 annex D)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.support.wire.pdu import Pdu, PduType, pdu
from tests.support.wire.uids import APPLICATION_CONTEXT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION


@dataclass(frozen=True, slots=True)
class Context:
    """A proposed presentation context."""

    id: int
    abstract: str
    transfers: tuple[str, ...] = (EXPLICIT_LE,)


@dataclass(frozen=True, slots=True)
class ContextResult:
    """The answer to a proposed presentation context. `result` 0 is acceptance (PS3.8 table 9-18)."""

    id: int
    result: int = 0
    transfer: str = EXPLICIT_LE


@dataclass(frozen=True, slots=True)
class Associate:
    """The fields of an A-ASSOCIATE-RQ or -AC; titles and items as the bytes that came."""

    called: bytes
    calling: bytes
    contexts: tuple[Context, ...] = ()
    results: tuple[ContextResult, ...] = ()
    user_items: tuple[tuple[int, bytes], ...] = ()
    unknown_items: tuple[tuple[int, bytes], ...] = field(default=())

    @property
    def max_length(self) -> int:
        """The sender's maximum PDU length; 0 is unlimited."""
        return int.from_bytes(dict(self.user_items).get(0x51, b"\0\0\0\0"), "big")


def item(kind: int, body: bytes) -> bytes:
    """Return an item or sub-item of an A-ASSOCIATE PDU."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


def title(ae_title: str | bytes) -> bytes:
    """Return the 16 bytes of an AE title field."""
    raw = ae_title if isinstance(ae_title, bytes) else ae_title.encode("ascii")
    return raw.ljust(16)[:16]


def _associate(kind: int, called: bytes, calling: bytes, items: bytes) -> bytes:
    head = struct.pack(">HH", 1, 0) + called + calling + bytes(32)
    return pdu(kind, head + item(0x10, APPLICATION_CONTEXT.encode()) + items)


def user_information(max_length: int, extra: bytes, version: str) -> bytes:
    """Return the user information item: maximum length, implementation, then `extra` as it is."""
    return item(
        0x50,
        item(0x51, struct.pack(">I", max_length))
        + item(0x52, b"1.2.826.0.1.3680043.9.9999.1")
        + item(0x55, version.encode())
        + extra,
    )


def associate_rq(
    *,
    called: str | bytes,
    calling: str | bytes = "SCRIPTED",
    contexts: Iterable[Context] = (Context(1, VERIFICATION, (IMPLICIT_LE,)),),
    max_length: int = 65536,
    extra: bytes = b"",
    version: str = "SCRIPTED_RQ",
) -> bytes:
    """Return an A-ASSOCIATE-RQ (PS3.8 §9.3.2); `extra` are more user information sub-items."""
    items = b"".join(
        item(
            0x20,
            struct.pack(">BBBB", context.id, 0, 0, 0)
            + item(0x30, context.abstract.encode())
            + b"".join(item(0x40, uid.encode()) for uid in context.transfers),
        )
        for context in contexts
    )
    items += user_information(max_length, extra, version)
    return _associate(PduType.ASSOCIATE_RQ, title(called), title(calling), items)


def associate_ac(
    request: Associate,
    results: Iterable[ContextResult] | None = None,
    *,
    max_length: int = 65536,
    extra: bytes = b"",
    version: str = "SCRIPTED_AC",
) -> bytes:
    """Return an A-ASSOCIATE-AC (PS3.8 §9.3.3); by default every context with its first transfer syntax."""
    if results is None:
        results = [ContextResult(context.id, 0, context.transfers[0]) for context in request.contexts]
    items = b"".join(
        item(
            0x21, struct.pack(">BBBB", answer.id, 0, answer.result, 0) + item(0x40, answer.transfer.encode())
        )
        for answer in results
    )
    items += user_information(max_length, extra, version)
    return _associate(PduType.ASSOCIATE_AC, request.called, request.calling, items)


def associate_rj(result: int, source: int, reason: int) -> bytes:
    """Return an A-ASSOCIATE-RJ (PS3.8 §9.3.4)."""
    return pdu(PduType.ASSOCIATE_RJ, bytes((0, result, source, reason)))


def split_items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each item in `data`."""
    offset = 0
    while offset < len(data):
        kind, _, length = struct.unpack_from(">BBH", data, offset)
        yield kind, data[offset + 4 : offset + 4 + length]
        offset += 4 + length


def parse_associate(received: Pdu) -> Associate:
    """Return the fields of an A-ASSOCIATE-RQ or -AC."""
    body = received.body
    contexts: list[Context] = []
    results: list[ContextResult] = []
    user_items: list[tuple[int, bytes]] = []
    unknown: list[tuple[int, bytes]] = []
    for kind, value in split_items(body[68:]):
        if kind == 0x20:
            inner = list(split_items(value[4:]))
            abstract = next(uid.decode() for sub, uid in inner if sub == 0x30)
            transfers = tuple(uid.decode() for sub, uid in inner if sub == 0x40)
            contexts.append(Context(value[0], abstract, transfers))
        elif kind == 0x21:
            transfer = next((uid.decode() for sub, uid in split_items(value[4:]) if sub == 0x40), "")
            results.append(ContextResult(value[0], value[2], transfer))
        elif kind == 0x50:
            user_items.extend(split_items(value))
        elif kind != 0x10:
            unknown.append((kind, value))
    return Associate(
        body[4:20], body[20:36], tuple(contexts), tuple(results), tuple(user_items), tuple(unknown)
    )


def role_selection(sop_class: str, *, scu: int, scp: int) -> bytes:
    """Return an SCP/SCU role selection sub-item (PS3.7 §D.3.3.4)."""
    uid = sop_class.encode()
    return item(0x54, struct.pack(">H", len(uid)) + uid + bytes((scu, scp)))


def asynchronous_window(invoked: int, performed: int) -> bytes:
    """Return an asynchronous operations window sub-item (PS3.7 §D.3.3.3)."""
    return item(0x53, struct.pack(">HH", invoked, performed))
