"""Where an object of a route by origin goes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dimse_mesh.delivery.origin_stage import choose
from dimse_mesh.runtime.routing import Delivery, Destination, Route

ROUTE = Route(
    calling="AI",
    to=Destination(ae="OTHER"),
    by_origin={"a": Destination(ae="PACS_A"), "b": Destination(zone="b")},
    delivery=Delivery.DURABLE,
)


@pytest.mark.parametrize(
    ("sources", "expected", "why"),
    [
        ({"a"}, Destination(ae="PACS_A"), ""),
        ({"b"}, Destination(zone="b"), ""),
        ({"b", "c"}, Destination(zone="b"), ""),
        ({"c"}, Destination(ae="OTHER"), "the route names no zone"),
        (set(), Destination(ae="OTHER"), "nobody knows"),
        ({"a", "b"}, Destination(ae="OTHER"), "several zones: a, b"),
    ],
)
def test_the_only_zone_that_the_route_names_decides(
    sources: set[str], expected: Destination, why: str
) -> None:
    destination, reason = choose(ROUTE, sources)
    assert destination == expected
    assert why in reason
    assert bool(why) == bool(reason)


def test_all_destinations_of_the_route_are_known_before_anything_comes() -> None:
    assert [one.ae or one.zone for one in ROUTE.destinations] == ["OTHER", "PACS_A", "b"]


@pytest.mark.parametrize(
    "more",
    [
        {"delivery": "live"},
        {"delivery": "durable", "hooks": [{"remove": ["PatientName"]}]},
        {"delivery": "durable", "also": [{"ae": "X"}]},
        {"delivery": "durable", "commitment": "target"},
    ],
)
def test_what_does_not_go_with_it_is_refused(more: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="by_origin"):
        Route.model_validate({"to": {"ae": "OTHER"}, "by_origin": {"a": {"ae": "PACS_A"}}, **more})
