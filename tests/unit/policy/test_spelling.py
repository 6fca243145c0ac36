"""Which AE titles are none, and which resemble one that the configuration names."""

from __future__ import annotations

import pytest

from dimse_mesh.policy.spelling import NamedTitles, is_ae_title


@pytest.mark.parametrize("title", ["PACS", "pacs", "CT 1", "A.B*C>D", "~!@#$%^&()_+"])
def test_what_ps3_5_allows_is_a_title(title: str) -> None:
    assert is_ae_title(title)


@pytest.mark.parametrize(
    "title", ["A\\B", "A\x00B", "A\x01", "A\tB", "A\n", "A\x1b[31m", "A\x7f", "\xc4RZTE", "A\x85B"]
)
def test_what_it_does_not_allow_is_none(title: str) -> None:
    assert not is_ae_title(title)


def test_a_title_in_another_case_resembles_the_one_that_is_named() -> None:
    named = NamedTitles(["READER", "Mixed", "*", "CT*"])
    assert named.resembled_by("reader") == "READER"
    assert named.resembled_by("MIXED") == "Mixed"


def test_titles_that_are_named_or_are_others_resemble_none() -> None:
    named = NamedTitles(["READER", "reader", "CT*", "CT?"])
    for title in ("READER", "reader", "ct1", "ct*", "READERS", "OTHER"):
        assert named.resembled_by(title) is None
