"""What others change or delete comes back; Secrets roll what uses them; what was left behind is adopted."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster.api import Manifest, Namespace

pytestmark = pytest.mark.usefixtures("operator")

ORIGINAL: dict[str, Any] = yaml.safe_load(Path("k8s/samples/original.yaml").read_text())["spec"]
NAME = "archive-proxy"
STORE = f"{NAME}-store"

CHANGES: list[tuple[str, str, Manifest]] = [
    ("ConfigMap", STORE, {"data": {"zone.yaml": "zone: B\n"}}),
    ("Deployment", STORE, {"spec": {"replicas": 7}}),
    ("Deployment", STORE, {"spec": {"template": {"metadata": {"annotations": {"prometheus.io/port": "1"}}}}}),
    ("Service", NAME, {"spec": {"ports": [{"port": 1, "name": "dicom"}]}}),
    ("NetworkPolicy", STORE, {"spec": {"podSelector": {"matchLabels": {"app": "other"}}}}),
    ("PodDisruptionBudget", STORE, {"spec": {"maxUnavailable": 5}}),
    ("HorizontalPodAutoscaler", f"{NAME}-scu", {"spec": {"maxReplicas": 99}}),
    ("ConfigMap", STORE, {"metadata": {"ownerReferences": None}}),
    ("Deployment", STORE, {"metadata": {"labels": {"app.kubernetes.io/component": None}}}),
]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def settable(item: Manifest) -> Manifest:
    """Return what somebody sets in an object."""
    labels, owners = item["metadata"]["labels"], item["metadata"]["ownerReferences"]
    return {"labels": labels, "owners": owners, "spec": item.get("spec"), "data": item.get("data")}


def test_every_change_to_every_kind_is_undone(namespace: Namespace) -> None:
    spec = {**ORIGINAL, "services": {"scu": {"autoscaling": {}}}}
    namespace.create("DimseProxy", NAME, spec=spec)
    namespace.until_ready(NAME)
    for kind, name, change in CHANGES:
        before = settable(namespace.get(kind, name))
        namespace.patch(kind, name, change)
        namespace.until(
            lambda kind=kind, name=name, before=before: settable(namespace.get(kind, name)) == before,
            f"{kind} {name} is as it was before {change}",
        )
    for kind, name in sorted(namespace.made()):
        uid = namespace.get(kind, name)["metadata"]["uid"]
        namespace.delete(kind, name)
        namespace.until(
            lambda kind=kind, name=name, uid=uid: namespace.get(kind, name)["metadata"]["uid"] != uid,
            f"{kind} {name} is back",
        )
    namespace.until_ready(NAME)
    events = namespace.api.list("Event", namespace=namespace.name)
    assert "Repaired" in {event["reason"] for event in events}


def test_a_label_of_somebody_else_is_left_alone(namespace: Namespace) -> None:
    namespace.create("DimseProxy", NAME, spec=ORIGINAL)
    namespace.until_ready(NAME)
    namespace.patch("Service", NAME, {"metadata": {"labels": {"example.org/team": "imaging"}}})
    namespace.patch("DimseProxy", NAME, {"spec": {"targetDimsePort": 104}})
    namespace.until_ready(NAME)
    assert namespace.get("Service", NAME)["metadata"]["labels"]["example.org/team"] == "imaging"


def test_missing_secret_and_missing_key_are_named_until_they_come(namespace: Namespace) -> None:
    namespace.create("DimseProxy", NAME, spec={**ORIGINAL, "natsTokenSecret": "mesh-token"})
    namespace.until(lambda: namespace.condition(NAME, "Ready")["reason"] == "SecretMissing", "it is named")
    expected = f"spec.natsTokenSecret: there is no Secret mesh-token in namespace {namespace.name}"
    assert namespace.status(NAME)["message"] == expected
    namespace.create("Secret", "mesh-token", data={"password": encoded("secret")})
    namespace.until(lambda: "has no key token" in namespace.status(NAME)["message"], "the key is named")
    namespace.patch("Secret", "mesh-token", {"data": {"token": encoded("secret")}})
    namespace.until_ready(NAME)
    for kind, name in namespace.made():
        assert encoded("secret") not in str(namespace.get(kind, name))


def test_what_an_earlier_resource_left_behind_is_adopted(namespace: Namespace) -> None:
    namespace.create("DimseProxy", NAME, spec=ORIGINAL)
    namespace.until_ready(NAME)
    before = {key: namespace.get(*key)["metadata"]["uid"] for key in namespace.made()}
    namespace.delete("DimseProxy", NAME, propagationPolicy="Orphan")
    namespace.until(lambda: not namespace.names("DimseProxy"), "the resource is gone")
    assert namespace.made() == set(before)
    created = namespace.create("DimseProxy", NAME, spec={**ORIGINAL, "targetDimsePort": 104})
    namespace.until_ready(NAME)
    for key, uid in before.items():
        item = namespace.get(*key)
        assert item["metadata"]["uid"] == uid
        (owner,) = item["metadata"]["ownerReferences"]
        assert owner["uid"] == created["metadata"]["uid"]


def test_somebody_elses_object_is_left_alone_and_the_way_out_is_named(namespace: Namespace) -> None:
    namespace.create("Service", NAME, spec={"ports": [{"port": 80}], "selector": {"app": "other"}})
    namespace.create("DimseProxy", NAME, spec=ORIGINAL)
    namespace.until(lambda: namespace.condition(NAME, "Ready")["reason"] == "Conflict", "Conflict")
    expected = f"Service {NAME} exists and isn't this resource's: rename this resource, or delete the Service"
    assert namespace.status(NAME)["message"] == expected
    assert namespace.get("Service", NAME)["spec"]["selector"] == {"app": "other"}
    namespace.delete("Service", NAME)
    namespace.until_ready(NAME)
    assert namespace.get("Service", NAME)["spec"]["ports"][0]["port"] == 11112
