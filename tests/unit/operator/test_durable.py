"""A durable route without a delivery service would keep objects for ever: the operator refuses it."""

from __future__ import annotations

import pytest

from dimse_mesh.operator.desired import desired_objects
from dimse_mesh.operator.names import Owner
from dimse_mesh.operator.zone import InvalidResourceError, parse_spec


def test_durable_route_is_refused_with_its_reason() -> None:
    route = {"to": {"ae": "ARCHIVE"}, "delivery": "durable"}
    spec = parse_spec({"natsUrl": "nats:4222", "routes": [route]})
    with pytest.raises(
        InvalidResourceError, match=r"routes\[0\]\.delivery: the operator runs no delivery service"
    ):
        desired_objects(Owner("zone", "imaging", "uid-1"), spec, default_image="dimse-mesh:1")
