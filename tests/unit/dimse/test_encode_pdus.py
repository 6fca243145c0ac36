from __future__ import annotations

import pytest

from dimse_mesh.dimse import echo_request, encode_command, encode_data, encode_message, store_request
from tests.unit.dimse.wire import Pdv, pdus, pdvs

STORE = store_request(1, sop_class="1.2.840.10008.5.1.4.1.1.2", sop_instance="1.2.3").encode()
MAX_PDUS = [7, 8, 128, 16382, 16384, 0]
UNLIMITED = 1 << 20


def payload(size: int) -> bytes:
    return bytes(index * 7 & 0xFF for index in range(size))


def room(max_pdu: int) -> int:
    return (max_pdu or UNLIMITED) - 6


def sizes(max_pdu: int) -> list[int]:
    return [0, 1, room(max_pdu), room(max_pdu) + 1, 3 * room(max_pdu) - 1]


CASES = [(max_pdu, size) for max_pdu in MAX_PDUS for size in sizes(max_pdu)]


@pytest.mark.parametrize(("max_pdu", "size"), CASES)
@pytest.mark.parametrize("last", [True, False])
def test_data_set_fills_pdus_up_to_the_peers_maximum(max_pdu: int, size: int, last: bool) -> None:
    data = payload(size)
    encoded = encode_data(5, memoryview(data), last, max_pdu)
    assert encoded == encode_data(5, data, last, max_pdu)
    found = pdvs(encoded)
    assert b"".join(pdv.fragment for pdv in found) == data
    assert all(len(body) <= (max_pdu or UNLIMITED) for body in pdus(encoded))
    assert len(found) == max(-(-size // room(max_pdu)), 1 if last else 0)
    assert {pdv.context_id for pdv in found} <= {5}
    assert [pdv.flags for pdv in found[:-1]] == [0] * (len(found) - 1 if found else 0)
    if found:
        assert found[-1].flags == (0x02 if last else 0x00)


@pytest.mark.parametrize("max_pdu", MAX_PDUS)
def test_command_set_is_split_with_the_last_fragment_marked(max_pdu: int) -> None:
    found = pdvs(encode_command(1, STORE, max_pdu))
    assert b"".join(pdv.fragment for pdv in found) == STORE
    assert [pdv.flags for pdv in found] == [0x01] * (len(found) - 1) + [0x03]
    assert len(found) == -(-len(STORE) // room(max_pdu))


@pytest.mark.parametrize(("max_pdu", "size"), CASES)
def test_message_is_its_command_set_then_its_data_set_in_pdus_of_their_own(max_pdu: int, size: int) -> None:
    data = payload(size)
    expected = encode_command(1, STORE, max_pdu) + encode_data(1, data, True, max_pdu)
    assert encode_message(1, STORE, data, max_pdu) == expected
    assert encode_message(1, STORE, memoryview(data), max_pdu) == expected


@pytest.mark.parametrize("max_pdu", MAX_PDUS)
def test_message_without_data_set_is_its_command_set(max_pdu: int) -> None:
    command = echo_request(1).encode()
    assert encode_message(1, command, None, max_pdu) == encode_command(1, command, max_pdu)


def test_bytes_of_a_small_pdu() -> None:
    assert encode_data(3, b"ab", True, 16384) == bytes.fromhex(
        "04 00 00000008"  # P-DATA-TF, reserved, PDU length
        "00000004 03 02"  # item length, context id, last fragment of a data set
        "6162"
    )


def test_nothing_more_but_the_end_is_one_empty_fragment() -> None:
    assert pdvs(encode_data(9, b"", True, 128)) == [Pdv(9, 0x02, b"")]
    assert encode_data(9, b"", False, 128) == b""


def test_odd_maximum_makes_even_fragments() -> None:
    found = pdvs(encode_data(1, payload(301), True, 129))
    assert [len(pdv.fragment) for pdv in found] == [122, 122, 57]


def test_huge_maximum_is_treated_as_no_limit() -> None:
    data = bytes(UNLIMITED + 1)
    assert encode_data(1, data, True, 0xFFFFFFFF) == encode_data(1, data, True, 0)


@pytest.mark.parametrize("max_pdu", range(1, 7))
def test_maximum_without_room_for_a_byte_is_refused(max_pdu: int) -> None:
    with pytest.raises(ValueError, match="no room"):
        encode_command(1, STORE, max_pdu)
    with pytest.raises(ValueError, match="no room"):
        encode_data(1, b"x", True, max_pdu)
    with pytest.raises(ValueError, match="no room"):
        encode_message(1, STORE, b"x", max_pdu)
