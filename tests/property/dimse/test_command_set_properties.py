from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.dimse import CommandSet, CommandSetError, Tag, parse_head

NUMBERS = [Tag.CommandField, Tag.MessageID, Tag.MessageIDBeingRespondedTo, Tag.CommandDataSetType, Tag.Status]
OTHERS = [Tag.Priority, Tag.EventTypeID, Tag.ActionTypeID, Tag.MoveOriginatorMessageID, Tag.ErrorID]
KNOWN = frozenset(Tag)

us = st.binary(min_size=2, max_size=2)
uid = st.text("0123456789.", max_size=64).map(lambda text: text.encode())
elements = st.fixed_dictionaries(
    {Tag.CommandField: us, Tag.CommandDataSetType: us},
    optional=dict.fromkeys(NUMBERS[1:3] + NUMBERS[4:] + OTHERS, us)
    | {
        Tag.AffectedSOPClassUID: uid,
        Tag.RequestedSOPClassUID: uid,
        Tag.AffectedSOPInstanceUID: uid,
        Tag.MoveDestination: st.binary(max_size=16),
        Tag.CommandGroupLength: st.binary(max_size=6),
    },
).flatmap(
    lambda known: st.dictionaries(
        st.integers(0, 0xFFFF).filter(lambda tag: tag not in KNOWN), st.binary(max_size=20), max_size=4
    ).map(lambda unknown: {**known, **unknown})
)
"""Well-formed command sets: values that are read are valid, everything else is anything."""


def encode(items: list[tuple[int, bytes]]) -> bytes:
    return b"".join(
        b"\0\0" + tag.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value for tag, value in items
    )


encoded = elements.flatmap(lambda chosen: st.permutations(list(chosen.items()))).map(encode)


@given(encoded)
def test_parse_then_encode_returns_the_same_bytes(data: bytes) -> None:
    assert CommandSet.parse(data).encode() == data
    assert CommandSet.parse(memoryview(data)).encode() == data


@given(encoded)
def test_head_agrees_with_the_command_set(data: bytes) -> None:
    command = CommandSet.parse(data)
    head = parse_head(data)
    assert head.command_field == command.command_field
    assert head.message_id == (command.message_id or 0)
    assert head.responded_to == (command.message_id_being_responded_to or 0)
    assert head.status == (-1 if command.status is None else command.status)
    assert head.has_data_set == command.has_data_set
    assert head.is_response == command.is_response
    assert head.is_pending == command.is_pending
    if command.affected_sop_class_uid:
        assert head.sop_class == command.affected_sop_class_uid
    assert parse_head(memoryview(data)) == head


@given(encoded, st.dictionaries(st.sampled_from(NUMBERS + OTHERS), st.integers(0, 0xFFFF), min_size=1))
def test_replace_changes_what_it_says_and_nothing_else(data: bytes, changes: dict[Tag, int]) -> None:
    before = CommandSet.parse(data)
    after = before.replace({int(tag): value for tag, value in changes.items()})
    again = CommandSet.parse(after.encode())
    assert again == after
    assert again.elements == after.elements
    for tag, value in changes.items():
        assert after.number(tag) == value
    untouched = [tag for tag in before if tag not in changes and tag != Tag.CommandGroupLength]
    assert [tag for tag in after if tag in untouched] == untouched
    assert all(after.get(tag) == before.get(tag) for tag in untouched)
    assert after.number(Tag.CommandGroupLength) == len(after.encode()) - 12


@given(encoded, st.data())
def test_every_truncation_is_refused_or_ends_between_elements(data: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(data)))
    try:
        command = CommandSet.parse(data[:cut])
    except CommandSetError:
        return
    assert data.startswith(command.encode())
    assert parse_head(data[:cut])


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_a_command_set_error(data: bytes) -> None:
    for read in (parse_head, CommandSet.parse):
        try:
            read(data)
        except CommandSetError as error:
            assert error.code  # noqa: PT017 - either outcome is right
