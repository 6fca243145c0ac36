"""Routes: the first match wins; without one, the called AE title is the destination."""

from __future__ import annotations

import pytest

from dimse_mesh.runtime.routing import Destination, DimseService, Route, route_for

ROUTES = (
    Route(called="ARCHIVE", calling="CT*", to=Destination(zone="cloud")),
    Route(called="ARCH?VE", to=Destination(ae="VNA"), allow=frozenset({DimseService.C_STORE})),
    Route(calling="[AB]1"),
)


@pytest.mark.parametrize(
    ("called", "calling", "expected"),
    [
        ("ARCHIVE", "CT1", Destination(zone="cloud")),
        ("ARCHIVE", "MR1", Destination(ae="VNA")),
        ("archive", "MR1", Destination(ae="archive")),
        ("PACS", "A1", Destination(ae="PACS")),
        ("PACS", "C1", Destination(ae="PACS")),
    ],
)
def test_first_match_wins(called: str, calling: str, expected: Destination) -> None:
    assert route_for(ROUTES, called=called, calling=calling).to == expected


def test_title_that_no_configuration_could_hold_is_still_looked_up() -> None:
    route = route_for((), called="NO\\GOOD TITLE\x01", calling="X")
    assert route.to is not None
    assert route.to.ae == "NO\\GOOD TITLE\x01"


def test_allow_limits_services() -> None:
    route = route_for(ROUTES, called="ARCHIVE", calling="MR1")
    assert route.allows(DimseService.C_STORE)
    assert not route.allows(DimseService.C_FIND)
    assert route_for((), called="A", calling="B").allows(DimseService.N_CREATE)
