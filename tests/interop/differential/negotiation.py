"""A-ASSOCIATE-RQ and its answer from a random source: contexts, syntaxes, user items, odd ones included."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from random import Random

from tests.support.wire import (
    APPLICATION_CONTEXT,
    CT_STORAGE,
    ENHANCED_CT_STORAGE,
    MPPS,
    STORAGE_COMMITMENT,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    Context,
    ContextResult,
    PduType,
    asynchronous_window,
    item,
    pdu,
    role_selection,
    title,
    user_information,
)

PRIVATE = "1.2.826.0.1.3680043.9.9999.77"
ABSTRACTS = (
    VERIFICATION,
    CT_STORAGE,
    CT_STORAGE,
    ENHANCED_CT_STORAGE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    MPPS,
    STORAGE_COMMITMENT,
    "1.2.840.10008.5.1.4.34.6.1",
    "1.2.840.10008.5.1.1.9",
    f"{PRIVATE}.1",
    f"{PRIVATE}.2",
)
TRANSFERS = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.201",
    f"{PRIVATE}.100",
)
CALLING = (
    b"SCRIPTED",
    b"A",
    b"  Lead.Space a ",
    b"X.Y * > Z. 16 CH",
    b"lower case",
    b"%41_-",
    b"~!\"#$&'(){|}",
    b"NUL\0\0",
)
LENGTHS = (0, 128, 1018, 4096, 16384, 16384, 65537, 131072, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Negotiation:
    """What both sides say before the first message."""

    request: bytes
    accept: bytes
    accepted: tuple[Context, ...]
    client_max: int
    target_max: int


def _user_item(rng: Random, contexts: list[Context]) -> bytes:
    uid = rng.choice(contexts).abstract
    name = struct.pack(">H", len(uid)) + uid.encode()
    match rng.randrange(9):
        case 0:
            return asynchronous_window(rng.randrange(5), rng.randrange(5))
        case 1:
            return role_selection(uid, scu=rng.randrange(2), scp=rng.randrange(2))
        case 2:  # SOP class extended negotiation
            return item(0x56, name + rng.randbytes(rng.randrange(8)))
        case 3:  # common extended negotiation
            return item(0x57, name + struct.pack(">H", len(uid)) + uid.encode() + bytes(2))
        case 4:  # user identity, asked for
            return item(0x58, bytes((rng.randrange(1, 6), 1)) + b"\0\4user" + b"\0\2pw")
        case 5:  # user identity, answered
            return item(0x59, b"\0\3" + rng.randbytes(3))
        case 6:  # what the standard knows, of a wrong length
            return item(rng.choice((0x53, 0x54, 0x56, 0x57, 0x58, 0x59)), rng.randbytes(rng.randrange(6)))
        case 7:  # a role with something behind it
            return item(0x54, name + bytes((1, 1)) + rng.randbytes(rng.randrange(3)))
        case _:
            return item(rng.randrange(0x5A, 0x100), rng.randbytes(rng.randrange(40)))


def _user_items(rng: Random, contexts: list[Context]) -> bytes:
    everything = b"".join(
        role_selection(uid, scu=1, scp=1) for uid in sorted({context.abstract for context in contexts})
    )
    few = b"".join(_user_item(rng, contexts) for _ in range(rng.choice((0, 0, 1, 2, 5))))
    return (asynchronous_window(0, 0) + everything if rng.random() < 0.5 else b"") + few


def _contexts(rng: Random) -> list[Context]:
    count = rng.choice((1, 2, 2, 3, 5, 8, 128 if rng.random() < 0.1 else 1))
    ids = rng.sample(range(1, 256, 2), count)
    if rng.random() < 0.9:
        ids.sort()
    return [
        Context(
            number,
            rng.choice(ABSTRACTS) if count < 20 else f"{PRIVATE}.{number}",
            tuple(rng.sample(TRANSFERS, rng.choice((1, 1, 2, 4)))),
        )
        for number in ids
    ]


def _results(rng: Random, contexts: list[Context]) -> list[ContextResult]:
    results = []
    for context in contexts:
        result = 0 if rng.random() < 0.85 else rng.randrange(1, 5)
        results.append(ContextResult(context.id, result, rng.choice(context.transfers)))
    if rng.random() < 0.05:
        rng.shuffle(results)
    if rng.random() < 0.03:
        results.pop()
    return results


def _oddly(rng: Random, chance: float, usual: bytes, *odd: bytes) -> bytes:
    """Return what is usual, or with this chance something odd."""
    return rng.choice(odd) if odd and rng.random() < chance else usual


def _uid(rng: Random, uid: str) -> bytes:
    """Return a UID, now and then padded as in a data set."""
    return _oddly(rng, 0.05, uid.encode(), uid.encode() + b"\0")


def _proposed(rng: Random, context: Context) -> bytes:
    syntaxes = b"".join(item(0x40, _uid(rng, uid)) for uid in context.transfers)
    reserved = _oddly(rng, 0.05, bytes(3), rng.randbytes(3))
    abstract = item(0x30, _uid(rng, context.abstract))
    return item(0x20, bytes((context.id,)) + reserved + abstract + syntaxes)


def _answered(rng: Random, answer: ContextResult) -> bytes:
    syntax = item(0x40, _uid(rng, answer.transfer))
    if answer.result:
        syntax = _oddly(rng, 0.3, syntax, b"", item(0x40, b""))
    return item(0x21, bytes((answer.id, 0, answer.result, 0)) + syntax)


def _user_information(rng: Random, max_length: int, contexts: list[Context], version: str) -> bytes:
    return user_information(max_length, _user_items(rng, contexts), rng.choice(("", version)))


def _associate(rng: Random, kind: int, titles: bytes, items: list[bytes], *, version: int) -> bytes:
    reserved = _oddly(rng, 0.05, bytes(2), rng.randbytes(2))
    behind = _oddly(rng, 0.1, bytes(32), rng.randbytes(32), b" " * 32)
    application = item(0x10, _oddly(rng, 0.05, APPLICATION_CONTEXT.encode(), b"1.2.3.4", b"1.2.3.4\0"))
    items = [application, *items]
    if rng.random() < 0.05:  # in another order
        items.insert(rng.randrange(len(items)), items.pop())
    if rng.random() < 0.05:
        items.insert(rng.randrange(len(items) + 1), item(rng.choice((0x11, 0x60, 0xFF)), rng.randbytes(9)))
    return pdu(kind, struct.pack(">H", version) + reserved + titles + behind + b"".join(items))


def negotiation(rng: Random, called: str) -> Negotiation:
    """Return how client and target of a conversation with `called` negotiate."""
    contexts = _contexts(rng)
    calling = title(rng.choice(CALLING))
    version = 1 if rng.random() < 0.9 else rng.choice((3, 0x8001, 0xFFFF))
    client_max, target_max = rng.choice(LENGTHS), rng.choice(LENGTHS)
    asked = [_proposed(rng, context) for context in contexts]
    asked.append(_user_information(rng, client_max, contexts, "SCRIPTED_RQ"))
    results = _results(rng, contexts)
    answered = [_answered(rng, answer) for answer in results]
    answered.append(_user_information(rng, target_max, contexts, "SCRIPTED_AC"))
    accepted = {answer.id for answer in results if answer.result == 0}
    echoed = _oddly(rng, 0.1, title(called) + calling, bytes(32), b"SOMEBODY ELSE   " + calling)
    return Negotiation(
        _associate(rng, PduType.ASSOCIATE_RQ, title(called) + calling, asked, version=version),
        _associate(rng, PduType.ASSOCIATE_AC, echoed, answered, version=rng.choice((1, 1, 1, 3))),
        tuple(context for context in contexts if context.id in accepted),
        client_max,
        target_max,
    )
