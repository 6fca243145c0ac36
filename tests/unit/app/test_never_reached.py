"""`dimse-mesh check` names routes and rules that are never reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dimse_mesh.app.never_reached import never_reached
from dimse_mesh.runtime.settings import settings_from
from tests.unit.app.test_cli import dimse_mesh, write

PERMIT = {"effect": "permit"}


def lines(**sections: Any) -> list[str]:
    listeners = [{"port": 104}, {"port": 11112}]
    zone = {"zone": "a", "association": {"listeners": listeners}, **sections}
    return list(never_reached(settings_from(zone, source="test")))


@pytest.mark.parametrize(
    ("first", "second", "is_reached"),
    [
        ({}, {"called": "PACS"}, False),
        ({"called": "PACS"}, {"called": "PACS", "calling": "CT1"}, False),
        ({"called": "CT*"}, {"called": "CT?[ab]"}, False),
        ({"called": "C?1"}, {"called": "CT1"}, False),
        ({"called": "CT*"}, {"called": "C*"}, True),
        ({"called": "PACS", "calling": "CT1"}, {"called": "PACS"}, True),
        ({"called": "PACS"}, {"called": "pacs"}, True),
        ({"called": "*S"}, {"called": "*CS"}, True),  # it isn't, but who can say so?
    ],
)
def test_a_route_behind_one_that_matches_as_much(
    first: dict[str, str], second: dict[str, str], is_reached: bool
) -> None:
    said = [] if is_reached else ["routes[1]: never reached, since routes[0] matches all that it does"]
    assert lines(routes=[first, second]) == said


@pytest.mark.parametrize(
    ("first", "second", "is_reached"),
    [
        ({"peers": ["10.0.0.0/8"]}, {"peers": ["10.1.0.0/16", "10.2.0.1"]}, False),
        ({"peers": ["10.0.0.0/8"]}, {"peers": ["10.1.0.0/16", "::1"]}, True),
        ({"peers": ["10.0.0.0/8"]}, {}, True),
        ({"listeners": [104]}, {"listeners": [104], "user": "x"}, False),
        ({"listeners": [104]}, {"listeners": [104, 11112]}, True),
        ({"user": "x"}, {}, True),
        ({"certificate": {"san": "x"}}, {"calling": "CT1"}, True),
    ],
)
def test_an_admission_rule_behind_one_that_matches_as_much(
    first: dict[str, Any], second: dict[str, Any], is_reached: bool
) -> None:
    found = lines(policy={"admission": [PERMIT | first, PERMIT | second]})
    assert bool(found) is not is_reached


@pytest.mark.parametrize(
    ("first", "second", "is_reached"),
    [
        ({"services": ["C-FIND", "C-MOVE"]}, {"services": ["C-FIND"], "asked_by": "client"}, False),
        ({"services": ["C-FIND"]}, {}, True),
        ({"asked_by": "target"}, {"asked_by": "client"}, True),
    ],
)
def test_an_operation_rule_behind_one_that_matches_as_much(
    first: dict[str, Any], second: dict[str, Any], is_reached: bool
) -> None:
    found = lines(policy={"operations": [PERMIT | first, PERMIT | second]})
    assert bool(found) is not is_reached


def test_check_says_so_and_succeeds(tmp_path: Path) -> None:
    file = write(tmp_path / "zone.yaml", "{zone: a, routes: [{to: {zone: b}}, {called: PACS}]}")
    result = dimse_mesh("check", file)
    assert result.returncode == 0
    assert result.stderr == f"{file}: routes[1]: never reached, since routes[0] matches all that it does\n"
