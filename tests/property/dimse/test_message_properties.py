from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.dimse import (
    CommandReceived,
    CommandSet,
    DataFragment,
    DimseError,
    MessageAssembler,
    Tag,
    echo_request,
    encode_command,
    encode_data,
    encode_message,
    store_request,
)
from tests.unit.dimse.wire import Pdv, pdvs

STORE = store_request(5, sop_class="1.2.840.10008.5.1.4.1.1.2", sop_instance="1.2.3.4").encode()

max_pdus = st.sampled_from([0, 7, 8, 9, 16, 17, 128, 16384]) | st.integers(7, 4096)
context_ids = st.integers(0, 127).map(lambda index: 2 * index + 1)
messages = st.tuples(context_ids, st.none() | st.binary(max_size=400))


def receive(found: list[Pdv]) -> list[tuple[int, bytes, bytes | None]]:
    """Run PDVs through an assembler and put the messages together."""
    assembler = MessageAssembler()
    complete: list[tuple[int, bytes, bytes | None]] = []
    command: CommandReceived | None = None
    data = bytearray()
    for pdv in found:
        match assembler.pdv(pdv.context_id, pdv.flags, memoryview(pdv.fragment)):
            case CommandReceived() as event if event.head.has_data_set:
                command = event
            case CommandReceived() as event:
                complete.append((event.context_id, event.command, None))
            case DataFragment(context_id, fragment, last):
                data += fragment
                assert command is not None
                assert command.context_id == context_id
                if last:
                    complete.append((context_id, command.command, bytes(data)))
                    data.clear()
                    command = None
            case None:
                pass
    assert assembler.idle
    return complete


@given(st.lists(messages, max_size=5), max_pdus)
def test_messages_come_out_as_they_went_in_at_any_maximum_pdu_length(
    sent: list[tuple[int, bytes | None]], max_pdu: int
) -> None:
    expected = []
    wire = b""
    for number, (context_id, data) in enumerate(sent):
        base = echo_request(number) if data is None else CommandSet.parse(STORE)
        command = base.replace({Tag.MessageID: number}).encode()
        expected.append((context_id, command, data))
        wire += encode_message(context_id, command, data, max_pdu)
    assert receive(pdvs(wire)) == expected


@given(st.binary(max_size=400), st.data(), max_pdus)
def test_any_fragmentation_gives_the_same_message(data: bytes, draw: st.DataObject, max_pdu: int) -> None:
    def pieces(whole: bytes) -> list[bytes]:
        cuts = sorted(draw.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
        return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    commands = pieces(STORE)
    found = [Pdv(1, 0x01, piece) for piece in commands[:-1]] + [Pdv(1, 0x03, commands[-1])]
    parts = pieces(data)
    found += [Pdv(1, 0x00, piece) for piece in parts[:-1]] + [Pdv(1, 0x02, parts[-1])]
    assert receive(found) == [(1, STORE, data)]

    wire = encode_command(1, STORE, max_pdu)
    for piece in parts[:-1]:
        wire += encode_data(1, piece, False, max_pdu)
    wire += encode_data(1, memoryview(parts[-1]), True, max_pdu)
    assert receive(pdvs(wire)) == [(1, STORE, data)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 3]),
            st.integers(0, 3),
            st.sampled_from([b"", b"x", STORE, STORE[:20], STORE[20:], echo_request(1).encode()]),
        ),
        max_size=12,
    )
)
def test_any_order_of_pdvs_gives_events_in_a_legal_order_or_an_error(
    pdv_list: list[tuple[int, int, bytes]],
) -> None:
    assembler = MessageAssembler()
    announced: int | None = None
    for context_id, flags, fragment in pdv_list:
        try:
            event = assembler.pdv(context_id, flags, memoryview(fragment))
        except DimseError:
            return
        match event:
            case CommandReceived():
                assert announced is None
                announced = event.context_id if event.head.has_data_set else None
            case DataFragment():
                assert announced == event.context_id
                announced = None if event.last else announced
            case None:
                pass
