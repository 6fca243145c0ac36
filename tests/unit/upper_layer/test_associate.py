"""A-ASSOCIATE-RQ/AC: annotated bytes, what is kept, what is rewritten, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
    significant_uid,
)

FIXED = bytes.fromhex(
    "0001"  # PS3.8 §9.3.2: bytes 7-8 protocol version
    "0000"  # 9-10 reserved
    "20 50414353 2e31 20 41 20202020202020"  # 11-26 called AE title: " PACS.1 A       "
    "4d4f44414c495459 2020202020202020"  # 27-42 calling AE title: "MODALITY"
) + bytes(32)  # 43-74 reserved

CONTEXT = bytes.fromhex(
    "20 7f 0019"  # §9.3.2.2: 1 type, 2 reserved (not zero here), 3-4 length
    "03 00 ff 00"  # 5 context id, 6-8 reserved
    "30 00 0003 312e32"  # §9.3.2.2.1: abstract syntax "1.2"
    "40 00 0003 312e33"  # §9.3.2.2.2: transfer syntax "1.3"
    "40 01 0003 312e34"  # another, its reserved byte not zero
)

USER = bytes.fromhex(
    "50 00 005b"  # §9.3.2.3: user information
    "51 00 0004 00004000"  # §D.1.1: maximum length 16384
    "52 00 0003 312e35"  # PS3.7 §D.3.3.2.1: implementation class UID "1.5"
    "53 00 0004 0000 0005"  # PS3.7 §D.3.3.3: asynchronous operations window
    "54 00 0007 0003 312e32 00 00"  # PS3.7 §D.3.3.4: role selection, 0/0
    "55 00 0002 5631"  # PS3.7 §D.3.3.2.3: version name "V1"
    "56 00 0007 0003 312e32 0102"  # PS3.7 §D.3.3.5: extended negotiation
    "57 00 0011 0003 312e32 0003 342e32 0005 0003 312e36"  # PS3.7 §D.3.3.6: common extended negotiation
    "58 00 0009 09 01 0002 7573 0001 70"  # PS3.7 §D.3.3.7: user identity, a type that isn't listed
    "5f 00 0002 beef"  # nothing that we know
)


def pdu(*items: bytes, fixed: bytes = FIXED, pdu_type: int = 1) -> bytes:
    body = fixed + b"".join(items)
    return bytes((pdu_type, 0)) + len(body).to_bytes(4, "big") + body


REQUEST = pdu(bytes.fromhex("10 00 0003 312e37"), CONTEXT, USER, bytes.fromhex("7e 33 0001 00"))


def decoded(data: bytes = REQUEST) -> AssociateRQ:
    return AssociateRQ.decode(memoryview(data)[6:])


def test_annotated_request_is_read_field_by_field() -> None:
    request = decoded()
    assert request.protocol_version == 1
    assert (request.called_ae, request.calling_ae) == ("PACS.1 A", "MODALITY")
    assert request.called_ae_bytes == b" PACS.1 A       "
    assert request.application_context == "1.7"
    assert request.presentation_contexts == (PresentationContextRQ(3, "1.2", ("1.3", "1.4")),)
    assert request.maximum_length == 0x4000
    assert request.user_items(Encoded) == (
        MaximumLength(0x4000),
        ImplementationClassUID("1.5"),
        AsynchronousOperationsWindow(0, 5),
        RoleSelection("1.2", 0, 0),
        ImplementationVersionName("V1"),
        SOPClassExtendedNegotiation("1.2", b"\1\2"),
        SOPClassCommonExtendedNegotiation("1.2", "4.2", ("1.6",)),
        UserIdentityRQ(9, 1, b"us", b"p"),
        UnknownItem(0x5F, b"\xbe\xef"),
    )
    assert request.items[-1] == UnknownItem(0x7E, b"\0")


def test_annotated_request_is_given_back_byte_for_byte() -> None:
    assert decoded().encode() == REQUEST


def test_items_made_afresh_encode_as_the_annotated_ones_with_reserved_bytes_zero() -> None:
    request = decoded()
    information = request.items[2]
    assert isinstance(information, UserInformation)
    fresh = UserInformation(tuple(replace(item) for item in information.items))
    assert fresh.encode() == USER
    assert replace(request.presentation_contexts[0]).encode() == CONTEXT.replace(b"\x7f", b"\0").replace(
        b"\xff", b"\0"
    ).replace(b"\x40\x01", b"\x40\x00")


def test_a_changed_item_does_not_encode_to_what_it_was_read_from() -> None:
    context = decoded().presentation_contexts[0]
    assert b"1.9" in replace(context, transfer_syntaxes=("1.9",)).encode()


def test_accept_is_read_and_given_back_also_without_a_transfer_syntax() -> None:
    rejected = bytes.fromhex("21 00 0004 01 00 03 00")  # PS3.8 §9.3.3.2: 5 context id, 7 result
    accepted = bytes.fromhex("21 00 000b 03 00 00 00 40 00 0003 312e33")
    identity = bytes.fromhex("50 00 0008 59 00 0004 0002 6f6b")
    data = pdu(rejected, accepted, identity, pdu_type=2)
    accept = AssociateAC.decode(data[6:])
    assert accept.presentation_contexts == (
        PresentationContextAC(1, 3, ""),
        PresentationContextAC(3, 0, "1.3"),
    )
    assert [context.accepted for context in accept.presentation_contexts] == [False, True]
    assert accept.user_item(UserIdentityAC) == UserIdentityAC(b"ok")
    assert accept.maximum_length is None
    assert accept.encode() == data


def test_our_three_user_items_take_the_place_of_the_peers_and_nothing_else_moves() -> None:
    own = decoded().replace_own(
        maximum_length=65536, implementation_class_uid="9.9", implementation_version_name="MESH"
    )
    edits = [
        ("51 00 0004 00004000", "51 00 0004 00010000"),
        ("52 00 0003 312e35", "52 00 0003 392e39"),
        ("55 00 0002 5631", "55 00 0004 4d455348"),
        ("50 00 005b", "50 00 005d"),
    ]
    user = USER
    for old, new in edits:
        user = user.replace(bytes.fromhex(old), bytes.fromhex(new))
    assert own.encode() == pdu(REQUEST[74:81], CONTEXT, user, REQUEST[-5:])


def test_version_name_is_inserted_after_the_class_uid_and_removed_if_empty() -> None:
    bare = pdu(bytes.fromhex("50 00 0017 53 00 0004 00010001 51 00 0004 00000000 52 00 0003 312e35"))
    named = decoded(bare).replace_own(
        maximum_length=0, implementation_class_uid="1.5", implementation_version_name="M"
    )
    kinds = [type(item) for item in named.user_items(Encoded)]
    assert kinds == [
        AsynchronousOperationsWindow,
        MaximumLength,
        ImplementationClassUID,
        ImplementationVersionName,
    ]
    unnamed = named.replace_own(
        maximum_length=0, implementation_class_uid="1.5", implementation_version_name=""
    )
    assert unnamed.encode() == bare


def test_a_request_without_user_information_gets_one() -> None:
    own = decoded(pdu()).replace_own(
        maximum_length=5, implementation_class_uid="1", implementation_version_name="M"
    )
    assert own.items == (
        UserInformation((MaximumLength(5), ImplementationClassUID("1"), ImplementationVersionName("M"))),
    )


def test_each_of_several_user_information_items_keeps_its_place() -> None:
    first = bytes.fromhex("50 00 0008 51 00 0004 00000010")
    second = bytes.fromhex("50 00 000d 51 00 0004 00000010 52 00 0001 31")
    data = pdu(first, CONTEXT, second)
    assert decoded(data).encode() == data
    own = decoded(data).replace_own(
        maximum_length=7, implementation_class_uid="2", implementation_version_name=""
    )
    assert own.items[0] == UserInformation((MaximumLength(7),))
    assert own.items[2] == UserInformation((MaximumLength(7), ImplementationClassUID("2")))


def test_ae_titles_are_rewritten_padded_or_left_alone() -> None:
    request = decoded().with_ae_titles("STORE", None)
    assert request.called_ae_bytes == b"STORE           "
    assert request.calling_ae_bytes == decoded().calling_ae_bytes
    assert request.with_ae_titles(None, "A.B C*>").calling_ae == "A.B C*>"
    assert request.with_ae_titles("ABCDEFGHIJKLMNOP", None).called_ae_bytes == b"ABCDEFGHIJKLMNOP"


@pytest.mark.parametrize("title", ["ABCDEFGHIJKLMNOPQ", "", "   ", "\N{SNOWMAN}"])
def test_impossible_ae_title_is_a_value_error(title: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - UnicodeEncodeError has its own text
        decoded().with_ae_titles(title, None)


def test_accept_echoes_the_requests_title_fields() -> None:
    request = decoded()
    accept = AssociateAC.decode(pdu(fixed=bytes(68), pdu_type=2)[6:])
    echoed = accept.with_ae_title_bytes(request.called_ae_bytes, request.calling_ae_bytes)
    assert echoed.encode()[10:42] == REQUEST[10:42]
    with pytest.raises(ValueError, match="16 bytes"):
        accept.with_ae_title_bytes(b"SHORT", request.calling_ae_bytes)


def test_request_of_our_own_holds_what_the_standard_demands() -> None:
    request = AssociateRQ.build(
        called_ae="PACS",
        calling_ae="MESH",
        contexts=[PresentationContextRQ(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",))],
        maximum_length=16384,
        implementation_class_uid="1.2.3",
        implementation_version_name="MESH",
        user_items=[RoleSelection("1.2", 1, 1)],
    )
    assert [type(item) for item in request.items] == [
        ApplicationContext,
        PresentationContextRQ,
        UserInformation,
    ]
    assert [item.item_type for item in request.user_items(Encoded)] == [0x51, 0x52, 0x55, 0x54]
    assert decoded(request.encode()) == request


def test_secrets_do_not_show_in_repr() -> None:
    shown = repr(UserIdentityRQ(2, 0, b"alice", b"hunter2")) + repr(UserIdentityAC(b"ticket"))
    assert not any(secret in shown for secret in ("alice", "hunter2", "ticket"))


def test_uid_padding_is_kept_in_the_item_and_stripped_for_comparison() -> None:
    data = pdu(bytes.fromhex("20 00 0010 01000000 30 00 0004 312e3200 40 00 0000"))
    context = decoded(data).presentation_contexts[0]
    assert context == PresentationContextRQ(1, "1.2\0", ("",))
    assert significant_uid(context.abstract_syntax) == "1.2"
    assert decoded(data).encode() == data


@pytest.mark.parametrize(
    "item",
    [
        "10 00 0001",  # longer than the PDU
        "50 00 0005 51 00 0004",
        "20 00 0000 00 00 0001",
    ],
)
def test_item_longer_than_the_pdu_is_malformed(item: str) -> None:
    with pytest.raises(MalformedPdu):
        decoded(pdu(bytes.fromhex(item)))


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ("53 00 0000", UnknownItem),
        ("53 00 0002 0001", UnknownItem),
        ("53 00 0003 000100", UnknownItem),
        ("53 00 0005 0001000200", AsynchronousOperationsWindow),
        ("54 00 0001 00", UnknownItem),
        ("54 00 0005 0004 312e32", UnknownItem),  # UID longer than the item
        ("54 00 0005 0002 3132 01", UnknownItem),  # one role missing
        ("54 00 0008 0003 312e32 01 00 00", RoleSelection),  # a trailing byte
        ("56 00 0002 0001", UnknownItem),
        ("57 00 0002 0000", UnknownItem),
        ("57 00 0007 0000 0000 0001 00", UnknownItem),  # cut off in the list of related UIDs
        ("58 00 0001 01", UnknownItem),
        ("58 00 0006 01 00 0000 0001", UnknownItem),
        ("58 00 0005 01 00 0001 61", UserIdentityRQ),  # no secondary field, not even its length
        ("58 00 0007 01 00 0000 0000 ff", UserIdentityRQ),  # a trailing byte
        ("59 00 0002 0001", UnknownItem),
        ("59 00 0003 0000 00", UserIdentityAC),
        ("5a 00 0001 ff", UnknownItem),
    ],
)
def test_user_item_passes_whatever_its_lengths(item: str, kind: type[Encoded]) -> None:
    data = bytes.fromhex(item)
    maximum = bytes.fromhex("51 00 0004 00004000")
    role = bytes.fromhex("54 00 0007 0003 312e32 00 01")
    holder = maximum + data + role
    request = decoded(pdu(bytes((0x50, 0, 0, len(holder))) + holder))
    assert [type(each) for each in request.user_items(Encoded)] == [MaximumLength, kind, RoleSelection]
    assert request.encode() == pdu(bytes((0x50, 0, 0, len(holder))) + holder)
    own = request.replace_own(
        maximum_length=0x4000, implementation_class_uid="1", implementation_version_name=""
    )
    assert maximum + bytes.fromhex("52 00 0001 31") + data + role in own.encode()


@pytest.mark.parametrize(
    ("item", "value"),
    [
        ("51 00 0000", 0),
        ("51 00 0002 4000", 0x4000),
        ("51 00 0005 0000400000", 0x4000),
        ("51 00 0008 0000400000008000", 0x4000),
    ],
)
def test_maximum_length_is_read_whatever_its_size(item: str, value: int) -> None:
    data = bytes.fromhex(item)
    request = decoded(pdu(bytes((0x50, 0, 0, len(data))) + data))
    assert request.maximum_length == value
    own = request.replace_own(maximum_length=7, implementation_class_uid="1", implementation_version_name="")
    assert own.user_items(MaximumLength) == (MaximumLength(7),)


def test_bytes_that_are_no_item_pass_behind_everything_else() -> None:
    inside = pdu(bytes.fromhex("50 00 0006 54 00 0004 0001"))
    assert decoded(inside).user_items(Encoded) == (Remainder(bytes.fromhex("54 00 0004 0001")),)
    outside = pdu(bytes.fromhex("7e 00 0000 00 01 02"))
    for data in (inside, outside):
        assert decoded(data).encode() == data
        own = decoded(data).replace_own(
            maximum_length=7, implementation_class_uid="1", implementation_version_name="M"
        )
        assert own.maximum_length == 7
        assert own.encode().endswith(data[-3:])


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ("21 00 0000", UnknownItem),
        ("21 00 0002 0100", UnknownItem),
        ("21 00 0003 010000", PresentationContextAC),
        ("21 00 0006 01000000 4000", PresentationContextAC),  # sub-item header cut off
        ("21 00 0009 01000000 40 00 0002 31", PresentationContextAC),  # sub-item longer than the context
        ("21 00 000e 01000000 40 00 0001 31 40 00 0001 32", PresentationContextAC),  # two transfer syntaxes
        ("21 00 0009 02000000 40 00 0001 31", PresentationContextAC),  # an even id
    ],
)
def test_presentation_context_passes_whatever_its_lengths(item: str, kind: type[Encoded]) -> None:
    data = pdu(bytes.fromhex(item), pdu_type=2)
    accept = AssociateAC.decode(data[6:])
    assert [type(each) for each in accept.items] == [kind]
    assert accept.encode() == data
    assert len(accept.accepted_context_ids) == (kind is PresentationContextAC)
    request = bytes.fromhex("20") + data[75:]
    assert decoded(pdu(request)).encode() == pdu(request)


@pytest.mark.parametrize("size", [0, 1, 67])
def test_body_shorter_than_the_fixed_fields_is_malformed(size: int) -> None:
    with pytest.raises(MalformedPdu):
        AssociateRQ.decode(bytes(size))


@pytest.mark.parametrize(
    "item",
    [
        MaximumLength(1 << 32),
        MaximumLength(-1),
        AsynchronousOperationsWindow(1 << 16, 0),
        RoleSelection("1", 256, 0),
        UnknownItem(0x7E, bytes(1 << 16)),
        UserIdentityAC(bytes(1 << 16)),
        PresentationContextRQ(256, "1", ()),
        ImplementationClassUID("\N{SNOWMAN}"),
    ],
)
def test_value_that_does_not_fit_its_field_is_a_value_error(item: Encoded) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - several texts
        item.encode()


def test_version_name_of_more_than_16_characters_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="16 characters"):
        decoded().replace_own(
            maximum_length=0, implementation_class_uid="1", implementation_version_name="x" * 17
        )


def test_user_information_that_leaves_no_room_for_ours_is_malformed_and_not_a_crash_when_encoding() -> None:
    full = UserInformation((UnknownItem(0x77, bytes(0xFFFF - 4)),))
    request = decoded(pdu(full.encode()))
    assert request.encode() == pdu(full.encode())
    with pytest.raises(MalformedPdu):
        request.replace_own(maximum_length=0, implementation_class_uid="1", implementation_version_name="")
