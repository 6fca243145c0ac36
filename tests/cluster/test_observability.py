"""Collector, Jaeger, Prometheus, Grafana and the NATS exporter on a real API server: admitted, available, gone."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.support.cluster.api import Api, Namespace
from tests.support.cluster.operator import kubectl
from tests.support.process import Child, wait_until

FOLDER, OVERLAY = "k8s/observability", "k8s/overlays/observed"
WATCHING = "observability"


def test_stack_is_admitted_under_restricted_pod_security_and_leaves_nothing(api: Api, admin: Path) -> None:
    kubectl(admin, "apply", "--server-side", "-k", FOLDER)
    try:
        names = {item["metadata"]["name"] for item in api.list("Deployment", namespace=WATCHING)}
        assert names == {"collector", "jaeger", "prometheus", "grafana", "nats-exporter"}
        waiting = [f"deployment/{name}" for name in sorted(names)]
        kubectl(admin, "wait", "-n", WATCHING, "--for=condition=Available", "--timeout=120s", *waiting)
        allowed = kubectl(
            admin, *("auth", "can-i", "list", "pods", "--all-namespaces"), f"--as={account('prometheus')}"
        )
        assert allowed.strip().endswith("yes")
    finally:
        kubectl(admin, "delete", "-k", FOLDER)
    wait_until(lambda: api.get("Namespace", WATCHING) is None, "its namespace is gone", timeout=120)
    assert api.get("ClusterRole", "dimse-mesh-prometheus") is None
    assert api.get("ClusterRoleBinding", "dimse-mesh-prometheus") is None


def account(name: str) -> str:
    return f"system:serviceaccount:{WATCHING}:{name}"


def test_zones_of_the_overlay_send_their_spans_to_the_collector(
    operator: Child, namespace: Namespace, admin: Path
) -> None:
    assert operator.returncode is None
    built = list(yaml.safe_load_all(kubectl(admin, "kustomize", OVERLAY)))
    services = {
        f"{item['metadata']['name']}.{item['metadata']['namespace']}.svc": item["spec"]["ports"]
        for item in built
        if item["kind"] == "Service"
    }
    for item in built:
        if item["kind"] != "DimseProxy":
            continue
        name, spec = item["metadata"]["name"], item["spec"]
        namespace.create("DimseProxy", name, spec=spec)
        namespace.until_ready(name)
        for component in ("association", "store", "scu"):
            (container,) = namespace.get("Deployment", f"{name}-{component}")["spec"]["template"]["spec"][
                "containers"
            ]
            variables = {one["name"]: one.get("value") for one in container["env"]}
            host, _, port = variables["OTEL_EXPORTER_OTLP_ENDPOINT"].removeprefix("http://").partition(":")
            assert int(port) in [one["port"] for one in services[host]]
