"""A default that a page names beside a setting, as in `mesh.window` (8 MiB), is the one that the setting has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dimse_mesh.scu.executor import IDLE_WITH_SLOTS
from tests.conformance.test_documents import PAGES

REFERENCE = Path("docs/deploy/reference.md")
UNITS = {
    "": 1.0,
    "bytes": 1.0,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "GiB": 2.0**30,
    "KB": 1e3,
    "MB": 1e6,
    "s": 1.0,
    "seconds": 1.0,
    "minutes": 60.0,
    "h": 3600.0,
    "days": 86400.0,
}
_NAMED = re.compile(
    r"`([a-z0-9_]+(?:\[\])?(?:\.[a-z0-9_]+(?:\[\])?)*)`\s\(?(\d[\d,]*(?:\.\d+)?)(?:\s([A-Za-z]+))?"
)
_ROW = re.compile(r"^\| `([a-z][a-z0-9_.\[\]]+)` \| (?:number|integer) \| `([\d.]+)` \|", re.MULTILINE)


def defaults() -> dict[str, float]:
    """Return the defaults of all settings that are numbers, from the page that is generated of them."""
    return {name: float(value) for name, value in _ROW.findall(REFERENCE.read_text())}


DEFAULTS = {
    **defaults(),
    "scu.remote_aes[].idle_timeout": IDLE_WITH_SLOTS,
}  # this one depends on other settings


def defaults_of(setting: str) -> set[float]:
    """Return the defaults of the settings that have this name, perhaps without its beginning."""
    return {value for name, value in DEFAULTS.items() if f".{name}".endswith(f".{setting}")}


def named() -> list[tuple[Path, str, str, str]]:
    """Return page, setting, number and unit wherever a page names them together."""
    found = [
        (page, *match) for page in PAGES if page != REFERENCE for match in _NAMED.findall(page.read_text())
    ]
    return [one for one in found if "." in one[1] or defaults_of(one[1])]


def test_the_pages_name_defaults() -> None:
    assert len(named()) > 40


@pytest.mark.parametrize(("page", "setting", "number", "unit"), named(), ids=str)
def test_a_default_on_a_page_is_the_one_of_the_setting(
    page: Path, setting: str, number: str, unit: str
) -> None:
    found, said = defaults_of(setting), float(number.replace(",", ""))
    assert found, f"{setting} is no setting"
    counted = 1.0 if unit == "days" and setting.endswith("_days") else UNITS.get(unit, 1.0)
    assert said * counted in found, page
