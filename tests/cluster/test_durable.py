"""Durable routes on a real API server: a delivery service comes, is refused when it can't work, and goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dimse_mesh.operator.names import STANDING, Component
from tests.support.cluster.api import Namespace
from tests.support.cluster.operator import kubectl

pytestmark = pytest.mark.usefixtures("operator")

TARGET = {"applicationEntityTitle": "PACS", "targetDimseHost": "pacs", "targetDimsePort": 104}
SPEC: dict[str, Any] = {
    "natsUrl": "nats:4222",
    "natsAllowPlaintext": True,
    **TARGET,
    "routes": [{"to": {"ae": "ARCHIVE"}, "also": [{"ae": "PACS"}], "delivery": "durable"}],
    "spool": {"maxBytes": 1 << 30},
}
NAME = "zone"


def deployments(services: Any) -> set[str]:
    return {f"{NAME}-{component.value}" for component in services}


def test_a_delivery_service_comes_and_goes(namespace: Namespace, admin: Path) -> None:
    namespace.create("DimseProxy", NAME, spec=SPEC)
    namespace.until_ready(NAME)
    assert namespace.names("Deployment") == deployments(STANDING)
    assert "max_bytes: 1073741824\n" in namespace.get("ConfigMap", f"{NAME}-association")["data"]["zone.yaml"]

    namespace.patch("DimseProxy", NAME, {"spec": {"delivery": {}}})
    namespace.until_ready(NAME)
    assert namespace.names("Deployment") == deployments(Component)
    assert namespace.status(NAME)["services"]["delivery"]["available"] == 1
    head, row = kubectl(admin, "get", "dimseproxies", "-n", namespace.name).splitlines()
    assert " ".join(head.split()) == "NAME AE ZONE READY REASON NATS TARGET ASSOCIATIONS QUEUE AGE"
    assert " ".join(row.split()[:-1]) == "zone PACS A True AllServicesReady True Unknown 0 0"
    # The others were not touched.
    assert namespace.get("Deployment", f"{NAME}-association")["metadata"]["generation"] == 1

    namespace.patch("DimseProxy", NAME, {"spec": {"services": {"delivery": {"replicas": 0}}}})
    namespace.until(lambda: namespace.condition(NAME, "Ready")["reason"] == "ScaledToZero", "it is said")
    assert namespace.status(NAME)["message"] == "no pods are wanted for delivery"

    namespace.patch("DimseProxy", NAME, {"spec": {"delivery": None, "services": None}})
    namespace.until_ready(NAME)
    namespace.until(lambda: namespace.names("Deployment") == deployments(STANDING), "five Deployments")
    assert (Component.DELIVERY, NAME) not in {(kind, name) for kind, name in namespace.made()}
    assert "delivery" not in namespace.status(NAME)["services"]


def test_one_pod_delivers_at_a_time(namespace: Namespace) -> None:
    """A new one is made when the old one is gone: Recreate, from the first Deployment on."""
    namespace.create("DimseProxy", NAME, spec={**SPEC, "delivery": {}})
    namespace.until_ready(NAME)
    item = namespace.get("Deployment", f"{NAME}-delivery")
    assert item["spec"]["strategy"] == {"type": "Recreate"}
    namespace.patch("DimseProxy", NAME, {"spec": {"delivery": {"retry": {"longest": 60}}}})
    namespace.until_ready(NAME)
    text = namespace.get("ConfigMap", f"{NAME}-delivery")["data"]["zone.yaml"]
    assert "longest: 60.0\n" in text
