"""Whose zones those of a namespace are, as Leases say."""

from __future__ import annotations

from typing import Any

from dimse_mesh.operator.neighbours import MARGIN_SECONDS, Neighbours
from tests.support.clock import Clock


def lease(namespace: str, version: int, holder: str = "other") -> dict[str, Any]:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15}
    return {"metadata": {"namespace": namespace, "resourceVersion": str(version)}, "spec": spec}


def test_a_namespace_is_its_operators_until_the_lease_lapses() -> None:
    clock = Clock(100.0)
    neighbours = Neighbours("system", clock)
    neighbours.saw(lease("imaging", 1))
    assert neighbours.holder("imaging") == "other"
    assert neighbours.holder("elsewhere") == ""
    clock.now += 15
    # Seen again, but not renewed.
    neighbours.saw(lease("imaging", 1))
    assert neighbours.holder("imaging") == "other"
    clock.now += MARGIN_SECONDS + 1
    assert neighbours.holder("imaging") == ""
    neighbours.saw(lease("imaging", 2))
    assert neighbours.holder("imaging") == "other"


def test_a_lease_that_is_given_up_or_deleted_or_our_own_holds_nothing() -> None:
    neighbours = Neighbours("system", Clock(100.0))
    neighbours.saw(lease("system", 1))
    assert neighbours.holder("system") == ""
    neighbours.saw(lease("a", 1))
    neighbours.saw(lease("a", 2, holder=""))
    assert neighbours.holder("a") == ""
    neighbours.saw(lease("b", 1))
    neighbours.gone(lease("b", 1))
    assert neighbours.holder("b") == ""
