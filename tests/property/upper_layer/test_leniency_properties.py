"""Fixed PDUs of any length, user items of any inner length: read as far as they go, given back as they came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.upper_layer import Abort, AssociateAC, AssociateRJ, AssociateRQ, Framer, PduType
from tests.support.wire import Associate, Context, associate_ac, associate_rq, item, pdu

USER_ITEMS = st.lists(st.builds(item, st.integers(0x51, 0x5F), st.binary(max_size=24)), max_size=6)
"""Of every kind that the standard knows, and some that it doesn't; whatever their lengths say inside."""
BODIES = st.binary(max_size=40)


@given(USER_ITEMS)
def test_user_items_of_any_inner_length_are_given_back_as_they_came(items: list[bytes]) -> None:
    asked = associate_rq(called="ANY", extra=b"".join(items))
    assert AssociateRQ.decode(asked[6:]).encode() == asked
    said = Associate(b"A" * 16, b"B" * 16, contexts=(Context(1, "1.2"),))
    answered = associate_ac(said, extra=b"".join(items))
    read = AssociateAC.decode(answered[6:])
    assert read.encode() == answered
    assert read.accepted_context_ids == {1}


@given(USER_ITEMS)
def test_what_is_odd_hides_nothing_of_what_is_read(items: list[bytes]) -> None:
    others = b"".join(one for one in items if one[0] != 0x51)
    assert (
        AssociateRQ.decode(associate_rq(called="ANY", max_length=4711, extra=others)[6:]).maximum_length
        == 4711
    )


@given(BODIES)
def test_a_reject_is_the_same_whatever_its_length(body: bytes) -> None:
    strict = AssociateRJ.decode(body).encode()
    assert len(strict) == 10
    # Permanent, by the service user, no reason given: a client that isn't told more doesn't try again for ever.
    assert strict[7:] == body[1:4] + bytes((1, 1, 1))[len(body[1:4]) :]


@given(BODIES)
def test_an_abort_is_the_same_whatever_its_length(body: bytes) -> None:
    strict = Abort.decode(body).encode()
    assert len(strict) == 10
    assert strict[8:] == body[2:4] + bytes((2, 0))[len(body[2:4]) :]


@given(
    st.lists(st.tuples(st.sampled_from(list(PduType)[4:]), BODIES), max_size=5),
    st.lists(st.integers(1, 60), min_size=1),
)
def test_fixed_pdus_of_any_length_are_framed_at_any_split(
    pdus: list[tuple[PduType, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(pdu(kind, body) for kind, body in pdus)
    framer, got, offset, turn = Framer(max_length=4096), [], 0, 0
    while offset < len(stream):
        piece = stream[offset : offset + cuts[turn % len(cuts)]]
        got += [(kind, bytes(body)) for kind, body in framer.feed(piece)]
        offset, turn = offset + len(piece), turn + 1
    assert got == [(int(kind), body) for kind, body in pdus]
