from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.schemas.frames import (
    HEADER,
    FrameError,
    FrameKind,
    PdusHead,
    decode_message_payload,
    decode_pdus_payload,
    decode_u32,
    decode_u64,
    encode_frame,
    encode_pdus_head,
    encode_u32,
    encode_u64,
    iter_frames,
    message_payload,
    only_frame,
)

U64 = st.integers(0, 2**64 - 1)
frames = st.tuples(
    st.integers(0, 2**32 - 1),
    st.sampled_from(FrameKind),
    st.lists(st.binary(max_size=20), max_size=3),
    U64,
    U64,
    st.integers(0, 255),
    st.integers(0, 255),
)


@given(st.lists(frames, max_size=5))
def test_frames_in_a_row_come_back_as_they_were(
    row: list[tuple[int, FrameKind, list[bytes], int, int, int, int]],
) -> None:
    payload = b"".join(
        encode_frame(
            channel,
            kind,
            *parts,
            position=position,
            acknowledged=acknowledged,
            flags=flags,
            context_id=context,
        )
        for channel, kind, parts, position, acknowledged, flags, context in row
    )
    assert [(*frame[:-1], bytes(frame.payload)) for frame in iter_frames(payload)] == [
        (channel, kind, flags, context, position, acknowledged, b"".join(parts))
        for channel, kind, parts, position, acknowledged, flags, context in row
    ]


def test_the_only_frame_of_a_payload_is_all_of_it() -> None:
    payload = encode_frame(1, FrameKind.DATA, b"data", position=2)
    assert only_frame(payload) == next(iter_frames(payload))
    for odd in (b"", payload + b"x", payload + payload, payload[:-1], payload[:5]):
        with pytest.raises(FrameError):
            only_frame(odd)


@given(st.lists(frames, min_size=1, max_size=3), st.data())
def test_a_row_cut_short_is_an_error_after_the_whole_frames(
    row: list[tuple[int, FrameKind, list[bytes], int, int, int, int]], data: st.DataObject
) -> None:
    pieces = [encode_frame(channel, kind, *parts) for channel, kind, parts, *_ in row]
    cut = data.draw(st.integers(1, len(pieces[-1]) - 1))
    found = iter_frames(b"".join(pieces[:-1]) + pieces[-1][:cut])
    assert len([next(found) for _ in pieces[:-1]]) == len(pieces) - 1
    with pytest.raises(FrameError):
        next(found)


@given(st.binary(max_size=100) | st.binary(max_size=60).map(lambda tail: bytes(10) + tail))
def test_garbage_is_frames_or_a_frame_error(payload: bytes) -> None:
    try:
        for frame in iter_frames(payload):
            for decode in (decode_message_payload, decode_pdus_payload, decode_u32, decode_u64):
                try:
                    decode(frame.payload)
                except FrameError:
                    continue
    except FrameError:
        return


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_a_message_payload_comes_apart_again(command: bytes, data: bytes) -> None:
    found, rest = decode_message_payload(memoryview(b"".join(message_payload(command, data))))
    assert (found, bytes(rest)) == (command, data)


def test_a_command_longer_than_its_frame_is_an_error() -> None:
    with pytest.raises(FrameError):
        decode_message_payload(memoryview(encode_u32(5) + b"1234"))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1), st.binary(max_size=20))
def test_the_head_of_pdus_comes_back(largest: int, responded_to: int, pdus: bytes) -> None:
    head = PdusHead(largest, responded_to)
    found, rest = decode_pdus_payload(memoryview(encode_pdus_head(head) + pdus))
    assert (found, bytes(rest)) == (head, pdus)


@given(U64)
def test_numbers_come_back(value: int) -> None:
    assert decode_u64(memoryview(encode_u64(value))) == value
    assert decode_u32(memoryview(encode_u32(value & 0xFFFFFFFF))) == value & 0xFFFFFFFF


def test_the_header_is_as_long_as_its_table_says() -> None:
    assert HEADER.size == 28
