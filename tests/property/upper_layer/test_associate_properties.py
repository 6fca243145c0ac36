"""A-ASSOCIATE PDUs of any well-formed content: read and given back unchanged."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.upper_layer import (
    ApplicationContext,
    AssociateAC,
    AssociateRQ,
    AsynchronousOperationsWindow,
    Encoded,
    ImplementationClassUID,
    ImplementationVersionName,
    MalformedPdu,
    MaximumLength,
    PresentationContextAC,
    PresentationContextRQ,
    Remainder,
    RoleSelection,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UnknownItem,
    UserIdentityAC,
    UserIdentityRQ,
    UserInformation,
)

BYTE = st.integers(0, 0xFF)
TEXT = st.text(st.characters(max_codepoint=0xFF), max_size=64)
SHORT = st.binary(max_size=20)
KNOWN_ITEMS = {0x10, 0x20, 0x21, 0x50}
KNOWN_USER_ITEMS = set(range(0x51, 0x5A))

USER_ITEMS = st.one_of(
    st.builds(MaximumLength, st.integers(0, 0xFFFFFFFF)),
    st.builds(ImplementationClassUID, TEXT),
    st.builds(ImplementationVersionName, TEXT),
    st.builds(AsynchronousOperationsWindow, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF)),
    st.builds(RoleSelection, TEXT, BYTE, BYTE),
    st.builds(SOPClassExtendedNegotiation, TEXT, SHORT),
    st.builds(
        SOPClassCommonExtendedNegotiation, TEXT, TEXT, st.lists(TEXT, max_size=3).map(tuple), BYTE, SHORT
    ),
    st.builds(UserIdentityRQ, BYTE, BYTE, SHORT, SHORT),
    st.builds(UserIdentityAC, SHORT),
    st.builds(UnknownItem, BYTE.filter(lambda kind: kind not in KNOWN_USER_ITEMS), SHORT),
)
ITEMS = st.one_of(
    st.builds(ApplicationContext, TEXT),
    st.builds(PresentationContextRQ, BYTE, TEXT, st.lists(TEXT, max_size=4).map(tuple)),
    st.builds(PresentationContextAC, BYTE, BYTE, TEXT),
    st.builds(UserInformation, st.lists(USER_ITEMS, max_size=5).map(tuple)),
    st.builds(UnknownItem, BYTE.filter(lambda kind: kind not in KNOWN_ITEMS), SHORT),
)
FIELDS = {
    "protocol_version": st.integers(0, 0xFFFF),
    "called_ae_bytes": st.binary(min_size=16, max_size=16),
    "calling_ae_bytes": st.binary(min_size=16, max_size=16),
    "items": st.lists(ITEMS, max_size=6).map(tuple),
    "reserved": st.binary(min_size=2, max_size=2),
    "reserved_tail": st.binary(min_size=32, max_size=32),
}
REQUESTS = st.builds(AssociateRQ, **FIELDS)


@given(REQUESTS)
def test_request_round_trips(request: AssociateRQ) -> None:
    data = request.encode()
    read = AssociateRQ.decode(data[6:])
    assert read == request
    assert read.encode() == data


@given(st.builds(AssociateAC, **FIELDS))
def test_accept_round_trips(accept: AssociateAC) -> None:
    data = accept.encode()
    read = AssociateAC.decode(data[6:])
    assert read == accept
    assert read.encode() == data


@given(REQUESTS, st.data())
def test_a_flipped_byte_is_given_back_as_it_came_or_malformed(
    request: AssociateRQ, data: st.DataObject
) -> None:
    body = bytearray(request.encode()[6:])
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(BYTE)
    try:
        read = AssociateRQ.decode(body)
    except MalformedPdu:
        return
    assert read.encode()[6:] == body


@given(REQUESTS, st.integers(min_value=0))
def test_a_body_cut_short_is_malformed_or_keeps_its_whole_items(request: AssociateRQ, size: int) -> None:
    body = request.encode()[6:]
    body = body[: size % (len(body) + 1)]
    try:
        read = AssociateRQ.decode(body)
    except MalformedPdu:
        return
    whole = [item for item in read.items if not isinstance(item, Remainder)]
    assert tuple(whole) == request.items[: len(whole)]
    assert len(read.items) - len(whole) <= 1
    assert read.encode()[6:] == body


@given(
    REQUESTS,
    st.integers(0, 0xFFFFFFFF),
    st.text("0123456789.", min_size=1, max_size=64),
    st.text("ABC", max_size=16),
)
def test_replacing_our_own_items_leaves_every_other_item_where_it_was(
    request: AssociateRQ, maximum_length: int, uid: str, name: str
) -> None:
    own = AssociateRQ.decode(request.encode()[6:]).replace_own(
        maximum_length=maximum_length, implementation_class_uid=uid, implementation_version_name=name
    )
    ours = (MaximumLength, ImplementationClassUID, ImplementationVersionName)
    assert set(own.user_items(MaximumLength)) == {MaximumLength(maximum_length)}
    assert set(own.user_items(ImplementationClassUID)) == {ImplementationClassUID(uid)}
    assert set(own.user_items(ImplementationVersionName)) == (
        {ImplementationVersionName(name)} if name else set()
    )

    def others(pdu: AssociateRQ) -> list[Encoded]:
        return [item for item in pdu.user_items(Encoded) if not isinstance(item, ours)]

    def outside(pdu: AssociateRQ) -> list[Encoded]:
        return [item for item in pdu.items if not isinstance(item, UserInformation)]

    assert others(own) == others(request)
    assert outside(own) == outside(request)
    assert replace(own, items=()) == replace(request, items=())
    again = own.replace_own(
        maximum_length=maximum_length, implementation_class_uid=uid, implementation_version_name=name
    )
    assert again.encode() == own.encode()
