"""Command sets that no toolkit should write: what the mesh needs is read, all of it is given back as it came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.dimse import CommandSet, Tag, parse_head
from tests.support.wire import Command, request, response

UNREAD = (0x0001, 0x0600, 0x0700, 0x0902, 0x1021, 0x5110, 0x7777, 0xFFFF)


def element(tag: int, value: bytes, group: int = 0) -> bytes:
    return group.to_bytes(2, "little") + tag.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value


VALUES = st.binary(max_size=9)
STRAY = st.one_of(
    st.builds(element, st.sampled_from(UNREAD), VALUES),
    st.builds(element, st.integers(0, 0xFFFF), VALUES, st.sampled_from((0x0002, 0x0008, 0x0009, 0x0010))),
    st.builds(element, st.just(int(Tag.CommandGroupLength)), VALUES),
)
ASKED = request(Command.C_MOVE, 4711, "1.2.840.10008.5.1.4.1.2.2.2", data=b"")
MESSAGES = st.sampled_from((ASKED.command, response(ASKED, 0xFF00).command, response(ASKED, 0xC123).command))


def taken_apart(command: bytes) -> list[bytes]:
    parts, offset = [], 0
    while offset < len(command):
        end = offset + 8 + int.from_bytes(command[offset + 4 : offset + 8], "little")
        parts.append(command[offset:end])
        offset = end
    return parts


@given(
    MESSAGES, st.lists(st.tuples(st.integers(0, 9), STRAY), max_size=4), st.binary(max_size=7), st.booleans()
)
def test_strays_and_repetitions_change_nothing_of_what_is_read(
    command: bytes, strays: list[tuple[int, bytes]], rest: bytes, repeated: bool
) -> None:
    parts = taken_apart(command) * (2 if repeated else 1)
    for at, stray in strays:
        parts.insert(at, stray)
    odd = b"".join(parts) + rest
    assert parse_head(odd) == parse_head(command)
    assert CommandSet.parse(odd).encode() == odd


@given(MESSAGES, st.permutations(range(10)), st.booleans())
def test_order_and_group_length_are_nobodys_business(command: bytes, order: list[int], without: bool) -> None:
    parts = taken_apart(command)
    shuffled = [parts[index] for index in order if index < len(parts)][: len(parts)]
    odd = b"".join(part for part in shuffled if not (without and part[2:4] == b"\0\0"))
    assert parse_head(odd) == parse_head(command)
    assert CommandSet.parse(odd).encode() == odd
