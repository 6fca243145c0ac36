"""Whatever is changed, moved or cut in a sealed segment is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.encryption import EncryptionError
from dimse_mesh.encryption.noise import TransportKeys
from dimse_mesh.encryption.protection import TAG_LENGTH
from dimse_mesh.encryption.segments import protection
from dimse_mesh.schemas.frames import FrameKind

KEYS = TransportKeys(bytes(32), bytes(range(32)))
HERE, THERE = protection(KEYS, at_initiator=True), protection(KEYS, at_initiator=False)
kinds = st.sampled_from([kind for kind in FrameKind if kind < FrameKind.ACK])
positions = st.integers(0, 2**62)
octets = st.integers(0, 255)


@given(kind=kinds, position=positions, flags=octets, context=octets, clear=st.binary(), secret=st.binary())
def test_what_was_sealed_opens_in_its_place(
    *, kind: FrameKind, position: int, flags: int, context: int, clear: bytes, secret: bytes
) -> None:
    sealed = HERE.seal(kind, position, flags=flags, context_id=context, clear=clear, secret=secret)
    assert len(sealed) == len(secret) + TAG_LENGTH
    opened = THERE.open(kind, position, flags=flags, context_id=context, clear=clear, sealed=sealed)
    assert opened == secret


@given(secret=st.binary(max_size=60), clear=st.binary(max_size=20), bit=st.integers(0, 7))
def test_no_byte_can_be_changed(secret: bytes, clear: bytes, bit: int) -> None:
    sealed = HERE.seal(FrameKind.MESSAGE, 3, clear=clear, secret=secret)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1 << bit
        with pytest.raises(EncryptionError):
            THERE.open(FrameKind.MESSAGE, 3, clear=clear, sealed=bytes(changed))
    for at in range(len(clear)):
        other = bytearray(clear)
        other[at] ^= 1 << bit
        with pytest.raises(EncryptionError):
            THERE.open(FrameKind.MESSAGE, 3, clear=bytes(other), sealed=sealed)
    for end in range(len(sealed)):
        with pytest.raises(EncryptionError):
            THERE.open(FrameKind.MESSAGE, 3, clear=clear, sealed=sealed[:end])


@given(first=st.tuples(kinds, positions, octets, octets), second=st.tuples(kinds, positions, octets, octets))
def test_a_segment_opens_in_no_other_place(
    first: tuple[FrameKind, int, int, int], second: tuple[FrameKind, int, int, int]
) -> None:
    kind, position, flags, context = first
    sealed = HERE.seal(kind, position, flags=flags, context_id=context, secret=b"data set")
    kind, position, flags, context = second
    if first == second:
        assert THERE.open(kind, position, flags=flags, context_id=context, sealed=sealed) == b"data set"
    else:
        with pytest.raises(EncryptionError):
            THERE.open(kind, position, flags=flags, context_id=context, sealed=sealed)
