from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.schemas.addresses import InstanceAddress, Role, parse_address, sender_of
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.subjects import Kind, ServiceSubjects, Subjects
from dimse_mesh.schemas.tokens import decode_token, encode_token
from tests.support.bus import address

AE_TITLE_CHARACTERS = st.characters(min_codepoint=0x20, max_codepoint=0xFF)


@given(st.text() | st.text(AE_TITLE_CHARACTERS, max_size=16))
def test_any_text_becomes_one_token_and_comes_back(text: str) -> None:
    token = encode_token(text)
    assert re.fullmatch(r"[A-Za-z0-9_%-]+", token)
    assert decode_token(token) == text


@given(st.text(), st.text())
def test_two_texts_never_share_a_token(one: str, other: str) -> None:
    assert (encode_token(one) == encode_token(other)) == (one == other)


@given(st.text("%0123456789abcdefABCDEF+_ .ä", max_size=12))
def test_what_no_text_is_encoded_as_is_an_error_and_nothing_else(token: str) -> None:
    try:
        text = decode_token(token)
    except ValueError:
        return
    assert encode_token(text) == token


@pytest.mark.parametrize(
    ("title", "subject"),
    [
        ("PACS-1_a", "DIMSE.ae.PACS-1_a.open"),
        ("A.B C", "DIMSE.ae.A%2EB%20C.open"),
        ("*", "DIMSE.ae.%2A.open"),
        (">", "DIMSE.ae.%3E.open"),
        ("100%", "DIMSE.ae.100%25.open"),
        ("", "DIMSE.ae.%.open"),
    ],
)
def test_the_characters_that_mean_something_to_nats_are_escaped(title: str, subject: str) -> None:
    assert ServiceSubjects("DIMSE").ae_open(title).name == subject


def test_every_subject_of_a_zone_and_an_instance_is_different() -> None:
    one, other = address("x"), address("y", role=Role.SCU)
    subjects = Subjects("DIMSE", one)
    names = [
        subjects.ae_open("x").name,
        subjects.zone_open("x").name,
        *(subjects.operations("x", service).name for service in ServiceName),
        *(subjects.to(other, kind) for kind in Kind),
        *(subjects.mine(kind) for kind in Kind),
        subjects.unserved(1),
        subjects.inbox,
        subjects.pong(other),
        subjects.live,
        subjects.dead,
        subjects.all_live,
        subjects.all_dead,
    ]
    assert len(set(names)) == len(names)


ADDRESSES = st.builds(
    InstanceAddress,
    st.text(min_size=1, max_size=10),
    st.sampled_from(Role),
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
)


@given(ADDRESSES, ADDRESSES, st.sampled_from(Kind))
def test_a_subject_says_who_sends_and_who_receives(
    sender: InstanceAddress, receiver: InstanceAddress, kind: Kind
) -> None:
    subject = Subjects("A.B", sender).to(receiver, kind)
    assert subject == f"A.B.i.{receiver.tokens}.{kind}.{sender.tokens}"
    assert sender_of(subject) == sender
    assert Subjects("A.B", receiver).mine(kind) == f"A.B.i.{receiver.tokens}.{kind}.*.*.*"


@pytest.mark.parametrize(
    "tokens",
    ["", "a", "a.scu", "a.scu.b.c", "a.nurse.b", "a.scu.b c", "%zz.scu.b", f"a.scu.{'b' * 65}", "a..b"],
)
def test_what_spells_no_address_is_nobody(tokens: str) -> None:
    assert parse_address(tokens) is None
    assert sender_of(f"X.live.{tokens}") is None or tokens == "a.scu.b.c"


@pytest.mark.parametrize(
    "reply",
    [
        "T.i.z.scu.other.inbox.abc",
        "T.i.z.association.asker.link.abc",
        "T.i.z.association.asker.inbox",
        "T.i.z.association.asker.inbox.",
        "T.i.z.association.asker.inbox.a.b",
        "T.i.z.association.asker.inbox.*",
        "T.dead.z.scu.other",
        "",
    ],
)
def test_a_reply_goes_to_nobody_but_who_asked(reply: str) -> None:
    asker, own = address("asker", zone="z"), address("own", zone="y", role=Role.SCU)
    subjects = Subjects("T", own)
    assert subjects.reply_to(asker, reply) is None
    inbox = Subjects("T", asker).inbox
    assert subjects.reply_to(asker, f"{inbox}.abc") == f"{inbox}.abc.{own.tokens}"
