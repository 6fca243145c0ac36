"""What can be seen in a resource alone is refused when it is applied, in the words of its author's own fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dimse_mesh.operator.names import Component
from dimse_mesh.operator.zone import InvalidResourceError, parse_spec, zone_settings
from tests.support.cluster.api import Namespace, Refused
from tests.support.cluster.operator import kubectl

TARGET = {"applicationEntityTitle": "X", "targetDimseHost": "a", "targetDimsePort": 104}
KEDA = {"autoscaling": {"scaler": "keda"}}

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"listeners": [{"port": 104}, {"port": 104}]}, "spec", "two listeners have the same port"),
    ({"listeners": [{"port": 9090}]}, "spec", "observability.httpPort is the port of a listener"),
    ({"observability": {"httpPort": 11112}}, "spec", "observability.httpPort is the port of a listener"),
    (
        {"services": {"store": {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}}},
        "spec.services.store.autoscaling",
        "maxReplicas is less than minReplicas",
    ),
    ({"services": {"scu": KEDA}}, "spec", "scaler keda needs observability.prometheusUrl"),
    ({"services": {"queryRetrieve": KEDA}}, "spec", "scaler keda needs observability.prometheusUrl"),
    ({"routes": [{"to": {}}]}, "spec.routes[0].to", "give exactly one of ae and zone"),
    ({"routes": [{"to": {"ae": "X", "zone": "B"}}]}, "spec.routes[0].to", "give exactly one of ae and zone"),
    ({"routes": [{"delivery": "durable"}]}, "spec.routes[0]", "a durable route names its destination: to"),
    (
        {"routes": [{"to": {"zone": "B"}, "also": [{"ae": "X"}]}]},
        "spec.routes[0]",
        "several destinations need delivery: durable",
    ),
    ({"delivery": {}}, "spec", "delivery needs an AE to deliver to: targetDimseHost or remoteAEs"),
    ({**TARGET, "delivery": {"readAhead": 1}}, "spec.delivery.readAhead", "greater than or equal to"),
    ({"spool": {"maxBytes": "much"}}, "spec.spool.maxBytes", "must be of type integer"),
    ({"exposure": {"sourceRanges": ["192.0.2.0/33"]}}, "spec.exposure.sourceRanges[0]", "is no CIDR"),
    ({**TARGET, "applicationEntityTitle": "   "}, "spec.applicationEntityTitle", "should match"),
    ({"remoteAEs": [{"aeTitle": " ", "host": "a", "port": 1}]}, "spec.remoteAEs[0].aeTitle", "should match"),
    (
        {**TARGET, "remoteAEs": [{"aeTitle": "Y", "host": "a", "port": 1, "default": True}]},
        "spec",
        "more than one default target",
    ),
    ({"targetDimseHost": "a"}, "spec", "go together"),
    ({"targetTls": {}}, "spec", "targetTls needs targetDimseHost"),
    ({"natsTls": {}}, "spec", "natsTls needs natsSecure: true"),
    ({"natsTokenSecret": "a", "natsUserSecret": "b"}, "spec", "give at most one of natsTokenSecret"),
    (
        {"listeners": [{"tls": {"secretName": "a", "requireClientCert": True}}]},
        "spec.listeners[0].tls",
        "requireClientCert needs caSecretName",
    ),
    (
        {"services": {"scu": {"resources": {"requests": {"cpu": "much"}}}}},
        "spec.services.scu.resources.requests.cpu",
        "should match",
    ),
    ({"settings": {"mesh": {"deadline": "long"}}}, "spec.settings.mesh.deadline", "must be of type number"),
]

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"listeners": [{"port": 9090}], "observability": {"httpPort": 9091}},
    {"services": {"store": {"autoscaling": {"minReplicas": 2, "maxReplicas": 2}}}},
    {"services": {"scu": KEDA}, "observability": {"prometheusUrl": "http://prometheus:9090"}},
    {"routes": [{"called": "X", "calledAE": "Y", "callingAE": "Z"}, {"to": {"zone": "B"}}]},
    {"exposure": {"sourceRanges": ["192.0.2.0/24", "2001:db8::/32"]}},
    {**TARGET, "applicationEntityTitle": "A B", "targetTls": {}},
    {
        "routes": [{"to": {"ae": "X"}, "also": [{"zone": "B"}], "delivery": "durable"}],
        "spool": {"domain": "a"},
    },
    {
        "delivery": {},
        "settings": {
            "routes": [{"to": {"ae": "X"}, "delivery": "durable", "hooks": [{"set": {"PatientID": "1"}}]}]
        },
    },
    {**TARGET, "delivery": {"domains": ["hub", None], "retry": {"longest": 60.5}}},
    {"settings": {"mesh": {"deadline": 60}, "association": {"max_associations": 5}}},
]


def item(namespace: Namespace, spec: dict[str, Any], name: str = "zone") -> dict[str, Any]:
    return {
        "apiVersion": "imaging-ingestion.alvearie.org/v1alpha1",
        "kind": "DimseProxy",
        "metadata": {"name": name, "namespace": namespace.name},
        "spec": {"natsUrl": "nats:4222", "natsAllowPlaintext": True, **spec},
    }


def refusal(namespace: Namespace, spec: dict[str, Any], name: str = "zone", **query: str) -> str:
    path = namespace.api.path("DimseProxy", namespace=namespace.name, dryRun="All", **query)
    with pytest.raises(Refused) as caught:
        namespace.api.ask("POST", path, item(namespace, spec, name))
    assert caught.value.status in {400, 422}
    return str(caught.value)


def test_contradictions_are_refused_by_both_in_the_same_words(namespace: Namespace) -> None:
    for spec, field, text in REFUSED:
        said = refusal(namespace, spec)
        assert f"{field}: " in said, said
        assert text in said
        with pytest.raises(InvalidResourceError):
            zone_settings(
                parse_spec({"natsUrl": "nats:4222", "natsAllowPlaintext": True, **spec}), Component.SCU
            )


def test_what_is_right_passes(namespace: Namespace) -> None:
    for spec in ACCEPTED:
        path = namespace.api.path("DimseProxy", namespace=namespace.name, dryRun="All")
        stored = namespace.api.ask("POST", path, item(namespace, spec))
        parse_spec(stored["spec"])


def test_unknown_fields_and_settings_are_refused_where_the_client_asks_for_it(namespace: Namespace) -> None:
    """As kubectl and Helm do."""
    for spec, name in (
        ({"typo": 1}, "spec.typo"),
        ({"settings": {"mesh": {"dedline": 60}}}, "spec.settings.mesh.dedline"),
        ({"settings": {"asociation": {}}}, "spec.settings.asociation"),
        ({"spool": {"max_bytes": 1 << 30}}, "spec.spool.max_bytes"),
    ):
        assert f'unknown field "{name}"' in refusal(namespace, spec, fieldValidation="Strict")


@pytest.mark.parametrize("name", ["1zone", "a.b"])
def test_names_that_make_no_service_are_refused(namespace: Namespace, name: str) -> None:
    assert "metadata.name: the listener's Service gets this name" in refusal(namespace, {}, name)


@pytest.mark.parametrize("sample", ["original", "full", "two-zones"])
def test_samples_are_accepted(namespace: Namespace, admin: Path, sample: str) -> None:
    assert namespace
    kubectl(admin, "create", "--dry-run=client", "-f", f"k8s/samples/{sample}.yaml")
    for name in ("imaging", "zone-a", "zone-b"):
        if namespace.api.get("Namespace", name) is None:
            namespace.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    kubectl(admin, "apply", "--dry-run=server", "--validate=strict", "-f", f"k8s/samples/{sample}.yaml")
