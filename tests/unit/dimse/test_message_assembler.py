from __future__ import annotations

import pytest

from dimse_mesh.dimse import (
    CommandReceived,
    CommandSetError,
    DataFragment,
    DimseErrorCode,
    MessageAssembler,
    MessageError,
    echo_request,
    parse_head,
    store_request,
)

ECHO = echo_request(1).encode()
STORE = store_request(2, sop_class="1.2.840.10008.5.1.4.1.1.2", sop_instance="1.2.3").encode()
DATA, COMMAND, DATA_LAST, COMMAND_LAST = range(4)


def received(context_id: int, command: bytes) -> CommandReceived:
    return CommandReceived(context_id, command, parse_head(command))


def test_command_in_one_fragment_without_data_set_completes_the_message() -> None:
    assembler = MessageAssembler()
    assert assembler.pdv(1, COMMAND_LAST, memoryview(ECHO)) == received(1, ECHO)
    assert assembler.idle


def test_data_set_fragments_are_passed_on_without_a_copy() -> None:
    assembler = MessageAssembler()
    assert assembler.pdv(3, COMMAND_LAST, memoryview(STORE)) == received(3, STORE)
    assert not assembler.idle
    buffer = bytearray(b"abcdef")
    event = assembler.pdv(3, DATA, memoryview(buffer)[:4])
    assert event == DataFragment(3, memoryview(b"abcd"), False)
    buffer[0] = ord("z")
    assert isinstance(event, DataFragment)
    assert bytes(event.fragment) == b"zbcd"
    assert assembler.pdv(3, DATA_LAST, memoryview(b"")) == DataFragment(3, memoryview(b""), True)
    assert assembler.idle
    assert assembler.pdv(5, COMMAND_LAST, memoryview(ECHO)) == received(5, ECHO)


def test_received_command_does_not_change_with_the_receive_buffer() -> None:
    buffer = bytearray(ECHO)
    event = MessageAssembler().pdv(1, COMMAND_LAST, memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert event == received(1, ECHO)


def test_command_in_many_fragments_some_of_them_empty() -> None:
    assembler = MessageAssembler()
    for index in range(len(ECHO)):
        assert assembler.pdv(1, COMMAND, memoryview(ECHO)[index : index + 1]) is None
        assert assembler.pdv(1, COMMAND, memoryview(b"")) is None
        assert not assembler.idle
    assert assembler.pdv(1, COMMAND_LAST, memoryview(b"")) == received(1, ECHO)
    assert assembler.pdv(7, COMMAND_LAST, memoryview(ECHO)) == received(7, ECHO)


def test_empty_fragment_in_the_middle_of_a_data_set_is_nothing_to_do() -> None:
    assembler = MessageAssembler()
    assembler.pdv(1, COMMAND_LAST, memoryview(STORE))
    assert assembler.pdv(1, DATA, memoryview(b"")) is None
    assert not assembler.idle


def test_reserved_bits_of_the_control_header_are_not_looked_at() -> None:
    assert MessageAssembler().pdv(1, 0xFC | COMMAND_LAST, memoryview(ECHO)) == received(1, ECHO)


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([(1, DATA, b"x")], DimseErrorCode.UNEXPECTED_DATA_SET),
        ([(1, DATA_LAST, b"")], DimseErrorCode.UNEXPECTED_DATA_SET),
        ([(1, COMMAND_LAST, ECHO), (1, DATA, b"x")], DimseErrorCode.UNEXPECTED_DATA_SET),
        ([(1, COMMAND, ECHO[:9]), (1, DATA, b"x")], DimseErrorCode.UNEXPECTED_DATA_SET),
        ([(1, COMMAND, ECHO[:9]), (3, COMMAND_LAST, ECHO[9:])], DimseErrorCode.CONTEXT_CHANGED),
        ([(1, COMMAND_LAST, STORE), (3, DATA, b"x")], DimseErrorCode.CONTEXT_CHANGED),
        ([(1, COMMAND_LAST, STORE), (1, COMMAND_LAST, ECHO)], DimseErrorCode.UNEXPECTED_COMMAND),
        ([(1, COMMAND_LAST, STORE), (1, DATA, b"x"), (1, COMMAND, b"")], DimseErrorCode.UNEXPECTED_COMMAND),
        ([(1, COMMAND_LAST, STORE), (3, COMMAND_LAST, ECHO)], DimseErrorCode.UNEXPECTED_COMMAND),
        (
            [(1, COMMAND_LAST, STORE), (1, DATA_LAST, b"x"), (1, DATA, b"x")],
            DimseErrorCode.UNEXPECTED_DATA_SET,
        ),
    ],
)
def test_pdv_out_of_place_is_refused(steps: list[tuple[int, int, bytes]], code: DimseErrorCode) -> None:
    assembler = MessageAssembler()
    for context_id, flags, fragment in steps[:-1]:
        assembler.pdv(context_id, flags, memoryview(fragment))
    context_id, flags, fragment = steps[-1]
    with pytest.raises(MessageError) as error:
        assembler.pdv(context_id, flags, memoryview(fragment))
    assert error.value.code == code


def test_command_of_exactly_the_limit_passes_in_any_number_of_fragments() -> None:
    assembler = MessageAssembler(max_command_length=len(ECHO))
    assert assembler.pdv(1, COMMAND_LAST, memoryview(ECHO)) is not None
    assert assembler.pdv(1, COMMAND, memoryview(ECHO)[:20]) is None
    assert assembler.pdv(1, COMMAND_LAST, memoryview(ECHO)[20:]) is not None


def test_command_beyond_the_limit_is_refused_before_it_is_kept() -> None:
    with pytest.raises(MessageError) as error:
        MessageAssembler(max_command_length=len(ECHO) - 1).pdv(1, COMMAND_LAST, memoryview(ECHO))
    assert error.value.code == DimseErrorCode.COMMAND_TOO_LONG
    assembler = MessageAssembler(max_command_length=len(ECHO) - 1)
    assembler.pdv(1, COMMAND, memoryview(ECHO)[:-1])
    with pytest.raises(MessageError) as error:
        assembler.pdv(1, COMMAND, memoryview(ECHO)[-1:])
    assert error.value.code == DimseErrorCode.COMMAND_TOO_LONG


def test_endless_empty_command_fragments_are_refused() -> None:
    assembler = MessageAssembler(max_command_length=100)
    for _ in range(100):
        assembler.pdv(1, COMMAND, memoryview(b""))
    with pytest.raises(MessageError) as error:
        assembler.pdv(1, COMMAND, memoryview(b""))
    assert error.value.code == DimseErrorCode.COMMAND_TOO_LONG


def test_malformed_command_set_is_refused() -> None:
    with pytest.raises(CommandSetError):
        MessageAssembler().pdv(1, COMMAND_LAST, memoryview(ECHO)[:-1])
    with pytest.raises(CommandSetError):
        MessageAssembler().pdv(1, COMMAND_LAST, memoryview(b""))
