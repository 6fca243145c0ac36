"""The framer and the P-DATA-TF body: what is whole comes out, what can't be is refused at once."""

from __future__ import annotations

import tracemalloc

import pytest

from dimse_mesh.upper_layer import (
    COMMAND,
    LAST,
    RELEASE_RQ_PDU,
    AbortReason,
    AbortSource,
    Framer,
    MalformedPdu,
    PduTooLong,
    PduType,
    UnrecognizedPdu,
    encode_p_data_header,
    iter_pdvs,
)
from tests.support.pdv import pdv

P_DATA = bytes.fromhex(
    "04 00 0000000c"  # PS3.8 §9.3.5: byte 1 type, 2 reserved, 3-6 PDU length
    "00000008"  # 7-10 item length: from the context id on
    "01"  # 11 presentation context id
    "03"  # 12 message control header (§E.2): command, last fragment
    "a1a2a3a4a5a6"  # the fragment
)


def plain(pdus: list[tuple[int, memoryview]]) -> list[tuple[int, bytes]]:
    return [(pdu_type, bytes(body)) for pdu_type, body in pdus]


def test_whole_pdus_of_one_read_come_out_as_views_of_that_read() -> None:
    data = bytearray(P_DATA + RELEASE_RQ_PDU)
    pdus = Framer(max_length=64).feed(data)
    assert plain(pdus) == [(PduType.P_DATA_TF, P_DATA[6:]), (PduType.RELEASE_RQ, bytes(4))]
    assert all(body.obj is data for _, body in pdus)


def test_split_pdu_comes_out_once_complete_and_pending_tells_what_is_held() -> None:
    framer = Framer(max_length=64)
    assert framer.feed(P_DATA[:3]) == []
    assert framer.pending == 3
    assert framer.feed(b"") == []
    assert framer.feed(P_DATA[3:9]) == []
    assert framer.pending == 9
    assert plain(framer.feed(P_DATA[9:] + RELEASE_RQ_PDU[:1])) == [(PduType.P_DATA_TF, P_DATA[6:])]
    assert framer.pending == 1
    assert plain(framer.feed(RELEASE_RQ_PDU[1:])) == [(PduType.RELEASE_RQ, bytes(4))]
    assert framer.pending == 0


def test_view_of_a_split_pdu_still_held_does_not_hinder_the_next_feed() -> None:
    framer = Framer(max_length=64)
    framer.feed(P_DATA[:8])
    [(_, held)] = framer.feed(P_DATA[8:])
    framer.feed(P_DATA[:8])
    assert plain(framer.feed(P_DATA[8:])) == [(PduType.P_DATA_TF, P_DATA[6:])]
    assert bytes(held) == P_DATA[6:]


def test_a_split_pdu_lies_in_memory_that_nobody_changes() -> None:
    framer = Framer(max_length=100)
    data = bytearray(b"\x04\0\0\0\0\x04abcd" * 2)
    assert framer.feed(memoryview(data)[:8]) == []
    (_, split), (_, whole) = framer.feed(memoryview(data)[8:])
    assert (split.readonly, whole.readonly) == (True, False)
    data[:] = bytes(len(data))
    framer.feed(b"\x04\0\0\0\0\x04")
    assert (bytes(split), bytes(whole)) == (b"abcd", bytes(4))


def test_the_reads_buffer_may_be_reused_while_a_partial_pdu_is_pending() -> None:
    framer = Framer(max_length=64)
    buffer = bytearray(P_DATA[:9])
    framer.feed(memoryview(buffer))
    buffer[:] = bytes(9)
    assert plain(framer.feed(P_DATA[9:])) == [(PduType.P_DATA_TF, P_DATA[6:])]


def test_pdu_of_exactly_the_cap_passes_and_one_byte_more_is_refused_at_its_header() -> None:
    assert len(Framer(max_length=12).feed(P_DATA)) == 1
    with pytest.raises(PduTooLong) as caught:
        Framer(max_length=11).feed(P_DATA[:6])
    assert caught.value.abort_source == AbortSource.SERVICE_PROVIDER
    assert caught.value.abort_reason == AbortReason.INVALID_PDU_PARAMETER_VALUE


def test_header_that_arrives_in_pieces_is_checked_as_soon_as_it_is_whole() -> None:
    framer = Framer(max_length=11)
    framer.feed(P_DATA[:5])
    with pytest.raises(PduTooLong):
        framer.feed(P_DATA[5:6])


@pytest.mark.parametrize("pdu_type", [0, 8, 0x47, 0xFF])
@pytest.mark.parametrize("split", [0, 3])
def test_unknown_pdu_type_is_refused_before_its_length_is_looked_at(pdu_type: int, split: int) -> None:
    header = bytes((pdu_type, 0, 0xFF, 0xFF, 0xFF, 0xFF))
    framer = Framer(max_length=1024)
    framer.feed(header[:split])
    with pytest.raises(UnrecognizedPdu) as caught:
        framer.feed(header[split:])
    assert caught.value.abort_reason == AbortReason.UNRECOGNIZED_PDU
    assert framer.pending == 0


def test_pdus_completed_before_the_offence_travel_with_the_error() -> None:
    with pytest.raises(UnrecognizedPdu) as caught:
        Framer(max_length=64).feed(P_DATA + b"GET / HTTP/1.1\r\n")
    assert plain(caught.value.completed) == [(PduType.P_DATA_TF, P_DATA[6:])]


def test_lowered_cap_holds_for_the_pdu_under_way_too() -> None:
    framer = Framer(max_length=64)
    framer.feed(P_DATA[:8])
    framer.max_length = 8
    with pytest.raises(PduTooLong):
        framer.feed(P_DATA[8:9])


def test_memory_held_follows_what_arrived_not_what_was_announced() -> None:
    framer = Framer(max_length=1 << 31)
    tracemalloc.start()
    try:
        framer.feed(bytes.fromhex("04 00 7fffffff") + bytes(100))
        framer.feed(bytes(100))
        assert tracemalloc.get_traced_memory()[1] < 64 << 10
    finally:
        tracemalloc.stop()


def test_pdvs_of_one_pdu_come_out_in_order() -> None:
    body = pdv(1, COMMAND | LAST, b"abc") + pdv(255, 0, b"")
    assert [(c, f, bytes(v)) for c, f, v in iter_pdvs(body)] == [(1, 3, b"abc"), (255, 0, b"")]
    assert [(c, f, bytes(v)) for c, f, v in iter_pdvs(P_DATA[6:])] == [(1, 3, P_DATA[12:])]


def test_headers_of_a_single_pdv_pdu_are_those_of_the_annotated_bytes() -> None:
    assert encode_p_data_header(1, COMMAND | LAST, 6) + P_DATA[12:] == P_DATA
    assert pdv(1, COMMAND | LAST, P_DATA[12:]) == P_DATA[6:]


@pytest.mark.parametrize(
    "body",
    [
        "",  # no PDV at all
        "000000",  # not even a length
        "00000002 01",  # the message control header is missing
        "00000000 0103",  # shorter than its own two header bytes
        "00000001 0103",
        "00000003 0103",  # one byte beyond the PDU
        "ffffffff 0103",
        "00000002 0103 00",  # trailing rubbish
    ],
)
def test_malformed_p_data_body_is_refused(body: str) -> None:
    with pytest.raises(MalformedPdu):
        iter_pdvs(bytes.fromhex(body))


def test_reads_end_where_a_long_pdu_should_end() -> None:
    whole = pdu(bytes(994))
    framer = Framer(max_length=2000)
    assert framer.read_size(4096) == 4096
    framer.feed(whole)
    assert framer.read_size(4096) == 4000
    framer.feed(whole[:700])
    assert framer.read_size(4096) == 300 + 3000
    framer.feed(whole[700:] + whole[:3])
    assert framer.read_size(4096) == 4000  # its length hasn't come yet
    framer.feed(whole[3:])
    assert framer.read_size(900) == 900
    framer.feed(RELEASE_RQ_PDU)
    assert framer.read_size(4096) == 4096  # short ones may be cut anywhere


def pdu(body: bytes) -> bytes:
    return bytes((PduType.P_DATA_TF, 0)) + len(body).to_bytes(4, "big") + body
