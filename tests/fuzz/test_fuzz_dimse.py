"""Arbitrary and damaged bytes into everything that reads messages: only `DimseError` may come out."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from dimse_mesh.dimse import (
    CommandSet,
    DimseError,
    MessageAssembler,
    Tag,
    parse_head,
    response_to,
    store_request,
)

SEED = (
    store_request(5, sop_class="1.2.840.10008.5.1.4.1.1.2", sop_instance="1.2.3.4")
    .replace({Tag.MoveOriginatorApplicationEntityTitle: "MODALITY", Tag.MoveOriginatorMessageID: 4})
    .encode()
)


def damage(changes: list[tuple[int, int]]) -> bytes:
    data = bytearray(SEED)
    for position, byte in changes:
        data[position] = byte
    return bytes(data)


damaged = st.lists(
    st.tuples(
        st.integers(0, len(SEED) - 1), st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)
    ),
    min_size=1,
    max_size=6,
).map(damage)


def use(command: CommandSet) -> None:
    """Touch everything that a handler may touch."""
    for name in dir(command):
        if not name.startswith("_"):
            getattr(command, name)
    repr(command)
    command.replace({Tag.MessageID: 1})
    with contextlib.suppress(ValueError):
        response_to(command, 0x0110, error_comment="no")


@settings(max_examples=400)
@given(damaged | st.binary(max_size=300))
def test_damaged_command_set_is_refused_or_usable(data: bytes) -> None:
    try:
        command = CommandSet.parse(data)
    except DimseError:
        return
    use(command)
    assert command.encode() == data
    assert parse_head(data).command_field == command.command_field


@settings(max_examples=400)
@given(
    st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, 255), damaged | st.binary(max_size=100)), max_size=8
    )
)
def test_arbitrary_pdvs_raise_nothing_but_dimse_errors(pdv_list: list[tuple[int, int, bytes]]) -> None:
    assembler = MessageAssembler(max_command_length=512)
    with contextlib.suppress(DimseError):
        for context_id, flags, fragment in pdv_list:
            assembler.pdv(context_id, flags, memoryview(fragment))


def test_many_elements_in_descending_order_are_read_in_linear_time() -> None:
    """A quadratic check would take minutes for these 8000 elements, not milliseconds."""
    required = store_request(1, sop_class="1.2", sop_instance="1.3").encode()[12:]
    noise = b"".join(b"\0\0" + tag.to_bytes(2, "little") + bytes(4) for tag in range(60000, 30000, -1))
    assert parse_head(noise + required).message_id == 1
