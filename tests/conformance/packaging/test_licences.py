"""Nothing is shipped under a licence that nobody has looked at, and docs/licences.md says what is."""

from __future__ import annotations

import pytest

from tests.conformance.packaging.licences import LOCKS, PAGE, is_allowed, licence_of, packages_of

PACKAGES = sorted(set.union(*map(packages_of, LOCKS)))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_a_licence_that_we_ship(package: str) -> None:
    licence = licence_of(package)
    if licence is None:
        pytest.skip("not for this system")
    assert is_allowed(licence), licence
    assert f"| {package} | {licence} | " in PAGE.read_text(), "python -m tests.conformance.packaging.licences"


def test_the_page_names_nothing_that_is_not_shipped() -> None:
    rows = [
        line.split(" | ")[0].removeprefix("| ") for line in PAGE.read_text().splitlines() if line[:2] == "| "
    ]
    assert set(rows) - {"package"} <= set(PACKAGES)


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [("MIT", True), ("Apache-2.0 AND MIT", True), ("GPL-3.0-only OR MIT", True), ("GPL-3.0-only", False)],
)
def test_strange_licences_are_told_from_ours(licence: str, allowed: bool) -> None:
    assert is_allowed(licence) is allowed
