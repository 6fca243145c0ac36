"""However the bytes are split into reads, the same PDUs come out, or the same error."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.upper_layer import (
    Framer,
    FramingError,
    MalformedPdu,
    PduType,
    iter_pdvs,
)
from tests.support.pdv import pdv

CAP = 300
PDUS = st.lists(st.tuples(st.sampled_from(PduType), st.binary(max_size=CAP)), max_size=6)
PDVS = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=40)), min_size=1, max_size=6
)


def stream(pdus: list[tuple[PduType, bytes]]) -> bytes:
    return b"".join(bytes((kind, 0)) + len(body).to_bytes(4, "big") + body for kind, body in pdus)


def reads(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def outcome(pieces: list[bytes]) -> tuple[list[tuple[int, bytes]], str]:
    """Give every PDU of these reads, and the code of the error that ended them, if any."""
    framer = Framer(max_length=CAP)
    found: list[tuple[int, bytes]] = []
    for piece in pieces:
        try:
            pdus = framer.feed(piece)
        except FramingError as error:
            found += [(kind, bytes(body)) for kind, body in error.completed]
            return found, error.code
        found += [(kind, bytes(body)) for kind, body in pdus]
        assert framer.pending < 6 + CAP
    return found, ""


@given(PDUS, st.lists(st.integers(min_value=0), max_size=12))
def test_any_split_of_well_formed_pdus_gives_the_same_pdus(
    pdus: list[tuple[PduType, bytes]], cuts: list[int]
) -> None:
    assert outcome(reads(stream(pdus), cuts)) == (pdus, "")


@given(PDUS)
def test_byte_by_byte_gives_the_same_pdus(pdus: list[tuple[PduType, bytes]]) -> None:
    data = stream(pdus)
    assert outcome([data[at : at + 1] for at in range(len(data))]) == (pdus, "")


@given(PDUS, st.binary(max_size=40), st.lists(st.integers(min_value=0), max_size=12))
def test_any_split_of_rubbish_gives_the_same_pdus_and_the_same_error(
    pdus: list[tuple[PduType, bytes]], rubbish: bytes, cuts: list[int]
) -> None:
    data = stream(pdus) + rubbish
    assert outcome(reads(data, cuts)) == outcome([data])


@given(PDVS)
def test_pdvs_come_out_as_they_went_in(pdvs: list[tuple[int, int, bytes]]) -> None:
    body = b"".join(pdv(context, flags, data) for context, flags, data in pdvs)
    assert [(context, flags, bytes(data)) for context, flags, data in iter_pdvs(body)] == pdvs


@given(PDVS, st.integers(min_value=1, max_value=5))
def test_p_data_cut_short_is_malformed_or_ends_with_a_whole_pdv(
    pdvs: list[tuple[int, int, bytes]], cut: int
) -> None:
    body = b"".join(pdv(context, flags, data) for context, flags, data in pdvs)
    try:
        found = iter_pdvs(body[:-cut])
    except MalformedPdu:
        return
    raise AssertionError(f"{len(found)} PDVs came out of a body that lacks {cut} bytes")
