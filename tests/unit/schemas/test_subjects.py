from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.subjects import Subjects, decode_token, encode_token

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
    assert Subjects("DIMSE").ae_open(title).name == subject


def test_every_subject_of_a_zone_and_an_instance_is_different() -> None:
    subjects = Subjects("DIMSE")
    names = [
        subjects.ae_open("x").name,
        subjects.zone_open("x").name,
        *(subjects.operations("x", service).name for service in ServiceName),
        subjects.link("x"),
        subjects.approved("x"),
        subjects.data("x"),
        subjects.ping("x"),
        subjects.greeting("x"),
        subjects.refused("x", 1, 2),
        subjects.inbox("x"),
        subjects.live,
        subjects.dead,
    ]
    assert len(set(names)) == len(names)
