"""Envelopes: round trip, and every kind of garbage."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.mesh import EnvelopeError, ForeignVersion, pack, unpack, unpack_known
from dimse_mesh.mesh.envelope import MAX_HEAD
from dimse_mesh.schemas.service import Dead, Heartbeat, Obituary
from dimse_mesh.schemas.version import VERSION

OBITUARY = Obituary(dead=Dead(role="scu", instance="a"))


@given(instance=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), tail=st.binary())
def test_what_is_packed_is_unpacked(instance: str, tail: bytes) -> None:
    head = Obituary(dead=Dead(role="scu", instance=instance))
    unpacked, rest = unpack(Obituary, pack(head, tail))
    assert (unpacked, bytes(rest)) == (head, tail)


def test_the_layout_is_version_length_head_tail() -> None:
    text = b'{"dead":{"role":"scu","instance":"a"}}'
    expected = struct.pack(">BBH", VERSION.octet, 0, len(text)) + text + b"tail"
    assert pack(OBITUARY, memoryview(b"tail")) == expected


def test_a_head_with_an_enum_survives() -> None:
    heartbeat = Heartbeat(server_id="S", associations={"PACS": 2})
    assert unpack(Heartbeat, pack(heartbeat))[0] == heartbeat


@given(payload=st.binary(max_size=200))
def test_garbage_raises_envelope_error_only(payload: bytes) -> None:
    with pytest.raises(EnvelopeError):
        unpack(Obituary, payload)


@pytest.mark.parametrize("cut", range(len(pack(OBITUARY))))
def test_a_truncated_envelope_is_refused(cut: int) -> None:
    with pytest.raises(EnvelopeError):
        unpack(Obituary, pack(OBITUARY)[:cut])


@given(payload=st.binary(max_size=200))
def test_a_head_that_is_known_is_read_as_any_other(payload: bytes) -> None:
    packed = pack(OBITUARY, payload)
    assert unpack_known(Obituary, packed) == unpack_known(Obituary, packed) == unpack(Obituary, packed)
    with pytest.raises(EnvelopeError):
        unpack_known(Heartbeat, packed)  # the same text as another model
    with pytest.raises(EnvelopeError):
        unpack_known(Obituary, payload)


def test_a_head_that_is_known_is_read_once_and_a_long_one_not_at_all() -> None:
    assert unpack_known(Obituary, pack(OBITUARY))[0] is unpack_known(Obituary, pack(OBITUARY))[0]
    text = b'{"dead":{"role":"scu","instance":"a"},"more":"' + b"x" * 3000 + b'"}'
    assert unpack(Obituary, envelope(text))[0] == OBITUARY
    with pytest.raises(EnvelopeError, match="longer than any of its kind"):
        unpack_known(Obituary, envelope(text))


def test_as_many_heads_are_known_as_a_front_end_has_associations() -> None:
    heads = [pack(Obituary(dead=Dead(role="scu", instance=f"i{number}"))) for number in range(4096)]
    known = [unpack_known(Obituary, head)[0] for head in heads]
    assert all(unpack_known(Obituary, head)[0] is model for head, model in zip(heads, known, strict=True))


def test_a_head_over_the_bound_is_not_even_parsed() -> None:
    with pytest.raises(EnvelopeError, match="longer than allowed"):
        unpack(Obituary, struct.pack(">I", VERSION.octet << 24 | (MAX_HEAD + 1)) + b"x" * (MAX_HEAD + 1))


def envelope(text: bytes, version: int = VERSION.octet) -> bytes:
    return struct.pack(">I", version << 24 | len(text)) + text


def test_an_unknown_field_is_ignored() -> None:
    text = b'{"dead":{"role":"scu","instance":"a","why":"x"},"since":[1]}'
    assert unpack(Obituary, envelope(text, VERSION.octet + 1))[0] == OBITUARY


@pytest.mark.parametrize("octet", [0x00, 0x0F, 0x20, 0xF0])
def test_another_major_version_is_named_and_not_read(octet: int) -> None:
    with pytest.raises(ForeignVersion) as error:
        unpack(Obituary, envelope(b"anything", octet))
    assert error.value.version.octet == octet


def test_another_type_is_refused_without_repeating_it() -> None:
    text = b'{"dead":{"role":"scu","instance":"PATIENT^NAME"}}'
    with pytest.raises(EnvelopeError) as error:
        unpack(Obituary, envelope(text))
    assert "PATIENT" not in str(error.value)
    assert error.value.__cause__ is None
    with pytest.raises(EnvelopeError):
        unpack(Heartbeat, pack(OBITUARY))
