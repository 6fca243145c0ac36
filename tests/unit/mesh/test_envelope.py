"""Envelopes: round trip, and every kind of garbage."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.mesh import EnvelopeError, pack, unpack
from dimse_mesh.mesh.envelope import MAX_HEAD
from dimse_mesh.schemas.service import Heartbeat, Obituary, ServiceName

OBITUARY = Obituary(instance="a", witness="b")


@given(instance=st.text(), witness=st.text(), tail=st.binary())
def test_what_is_packed_is_unpacked(instance: str, witness: str, tail: bytes) -> None:
    head = Obituary(instance=instance, witness=witness)
    unpacked, rest = unpack(Obituary, pack(head, tail))
    assert (unpacked, bytes(rest)) == (head, tail)


def test_the_layout_is_length_head_tail() -> None:
    text = b'{"instance":"a","witness":"b"}'
    assert pack(OBITUARY, memoryview(b"tail")) == struct.pack(">I", len(text)) + text + b"tail"


def test_a_head_with_an_enum_survives() -> None:
    heartbeat = Heartbeat(
        instance="a", zone="z", service=ServiceName.SCU, server_id="S", associations={"PACS": 2}
    )
    assert unpack(Heartbeat, pack(heartbeat))[0] == heartbeat


@given(payload=st.binary(max_size=200))
def test_garbage_raises_envelope_error_only(payload: bytes) -> None:
    with pytest.raises(EnvelopeError):
        unpack(Obituary, payload)


@pytest.mark.parametrize("cut", range(len(pack(OBITUARY))))
def test_a_truncated_envelope_is_refused(cut: int) -> None:
    with pytest.raises(EnvelopeError):
        unpack(Obituary, pack(OBITUARY)[:cut])


def test_a_head_over_the_bound_is_not_even_parsed() -> None:
    with pytest.raises(EnvelopeError, match="longer than allowed"):
        unpack(Obituary, struct.pack(">I", MAX_HEAD + 1) + b"x" * (MAX_HEAD + 1))


def test_an_unknown_field_or_another_type_is_refused_without_repeating_it() -> None:
    text = b'{"instance":"a","witness":"b","name":"PATIENT^NAME"}'
    with pytest.raises(EnvelopeError) as error:
        unpack(Obituary, struct.pack(">I", len(text)) + text)
    assert "PATIENT" not in str(error.value)
    assert error.value.__cause__ is None
    with pytest.raises(EnvelopeError):
        unpack(Heartbeat, pack(OBITUARY))
