"""Which AE titles are none, and which resemble one that the configuration names."""

from __future__ import annotations

import pytest

from dimse_mesh.policy.spelling import NamedBy, NamedTitles, is_ae_title


@pytest.mark.parametrize("title", ["PACS", "pacs", "CT 1", "A.B*C>D", "~!@#$%^&()_+"])
def test_what_ps3_5_allows_is_a_title(title: str) -> None:
    assert is_ae_title(title)


@pytest.mark.parametrize(
    "title",
    ["A\\B", "A\x00B", "A\x01", "A\tB", "A\n", "A\x1b[31m", "A\x7f", "\xc4RZTE", "A\x85B", "", "A" * 17],
)
def test_what_it_does_not_allow_is_none(title: str) -> None:
    assert not is_ae_title(title)


def named(*patterns: str) -> NamedTitles:
    return NamedTitles(NamedBy(pattern, f"routes[{number}]") for number, pattern in enumerate(patterns))


@pytest.mark.parametrize(
    ("title", "setting"),
    [
        ("reader", "routes[0]"),
        ("MIXED", "routes[1]"),
        ("ct1", "routes[3]"),
        ("Ct", "routes[3]"),
        ("x_1", "routes[4]"),
    ],
)
def test_a_title_in_another_case_resembles_the_one_that_is_named(title: str, setting: str) -> None:
    found = named("READER", "Mixed", "*", "CT*", "X_[0-9]").resembled_by(title)
    assert found is not None
    assert found.setting == setting


@pytest.mark.parametrize(
    "title", ["READER", "reader", "CT1", "mr1", "MR1", "READERS", "OTHER", "other", "xCT1", "*", "[*"]
)
def test_titles_that_are_named_or_are_others_resemble_none(title: str) -> None:
    assert named("READER", "reader", "CT*", "CT?", "MR*", "mr*", "*").resembled_by(title) is None


def test_a_title_that_a_wider_pattern_matches_resembles_the_one_that_is_named_all_the_same() -> None:
    assert named("READER", "r*", "*").resembled_by("reader") == NamedBy("READER", "routes[0]")
