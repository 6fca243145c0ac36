"""What comes sealed from other zones, and keys: nothing of it may be believed before it was opened."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from dimse_mesh.encryption.binding import decode_message
from dimse_mesh.encryption.errors import EncryptionError
from dimse_mesh.encryption.keys import PublicKey
from dimse_mesh.encryption.noise import TransportKeys, initiate, open_once, respond, seal_once
from dimse_mesh.encryption.objects import ObjectOpener
from dimse_mesh.encryption.segments import protection
from dimse_mesh.schemas.frames import FrameKind
from tests.fuzz.target import FuzzTarget

PROLOGUE = b"what both have agreed on"
KEY = bytes(range(32))


class Parties(NamedTuple):
    """Two zones, and what one of them sends."""

    ours: X25519PrivateKey
    theirs: X25519PrivateKey
    offered: bytes
    sealed: bytes


@cache
def _parties() -> Parties:
    ours, theirs, ephemeral = (X25519PrivateKey.from_private_bytes(bytes((n,)) * 32) for n in (1, 2, 3))
    _, offered = initiate(theirs, ours.public_key(), PROLOGUE, ephemeral)
    return Parties(ours, theirs, offered, seal_once(theirs, ours.public_key(), PROLOGUE, KEY, ephemeral))


def handshakes(data: bytes) -> None:
    """Read the messages of handshakes: only those that were written for us are read."""
    parties = _parties()
    theirs = parties.theirs.public_key()
    with contextlib.suppress(EncryptionError):
        respond(parties.ours, theirs, PROLOGUE, data)
        assert data == parties.offered
    with contextlib.suppress(EncryptionError):
        open_once(parties.ours, theirs, PROLOGUE, data)
        assert data == parties.sealed
    with contextlib.suppress(EncryptionError):
        decode_message(data.decode("latin-1"))
    with contextlib.suppress(EncryptionError):
        key = PublicKey.parse(data.decode("latin-1"))
        assert PublicKey.parse(key.text) == key


def segments(data: bytes) -> None:
    """Open sealed segments and pieces of objects: none was sealed, so none opens."""
    kind, position, sealed = (data[0] if data else 0), len(data), data[1:]
    opened = protection(TransportKeys(KEY, KEY[::-1]), at_initiator=True).open
    attempts: list[Callable[[], bytes]] = [
        lambda: opened(kind, position, clear=sealed[:4], sealed=sealed),
        lambda: opened(FrameKind.CANCEL, position, sealed=sealed),
        lambda: ObjectOpener(KEY, 3)(kind % 4, sealed),
    ]
    for attempt in attempts:
        try:
            attempt()
        except EncryptionError:
            continue
        raise AssertionError("what nobody has sealed was opened")


def _handshakes() -> Sequence[bytes]:
    parties = _parties()
    return [parties.offered, parties.sealed, PublicKey(parties.ours.public_key()).text.encode()]


TARGETS = (
    FuzzTarget("handshakes", "handshakes of the encryption, public keys", handshakes, _handshakes),
    FuzzTarget(
        "sealed", "sealed segments and pieces of objects", segments, lambda: [b"\1" + bytes(40), b"\6"]
    ),
)
