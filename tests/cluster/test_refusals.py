"""What the API server refuses is named by the resource's own field, costs few calls, and passes when it can."""

from __future__ import annotations

import base64
import math
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster.api import Api, Manifest, Namespace
from tests.support.cluster.control_plane import ControlPlane
from tests.support.cluster.operator import rights_missed, start_operator
from tests.support.manifests import built
from tests.support.ports import reserve_port
from tests.support.process import wait_until

ORIGINAL: dict[str, Any] = yaml.safe_load(Path("k8s/samples/original.yaml").read_text())["spec"]
NAME = "archive-proxy"


@pytest.fixture(scope="module", autouse=True)
def pages(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run an operator; the port of its pages."""
    port = reserve_port()
    directory = tmp_path_factory.mktemp("operator")
    with start_operator(plane, directory, "--listen", f"127.0.0.1:{port}") as child:
        yield port
        assert rights_missed(child, plane.api) == []
        assert "Traceback" not in child.output, child.describe()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (
            {"services": {"store": {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}}},
            "spec.services.store.resources",
        ),
        (
            {"services": {"queryRetrieve": {"nodeSelector": {"a label": "x"}}}},
            "spec.services.queryRetrieve.nodeSelector",
        ),
        (
            {"services": {"nService": {"podAnnotations": {"an annotation": "x"}}}},
            "spec.services.nService.podAnnotations",
        ),
        ({"exposure": {"annotations": {"an annotation": "x"}}}, "spec.exposure.annotations"),
    ],
)
def test_a_refused_object_names_the_resources_field(
    namespace: Namespace, spec: dict[str, Any], field: str
) -> None:
    namespace.create("DimseProxy", NAME, spec={**ORIGINAL, **spec})
    namespace.until(lambda: namespace.condition(NAME, "Ready")["reason"] == "Refused", "it is refused")
    assert namespace.status(NAME)["message"].startswith(f"{field}: "), namespace.status(NAME)["message"]
    namespace.patch("DimseProxy", NAME, {"spec": dict.fromkeys(spec)})
    namespace.until_ready(NAME)


def test_a_quota_that_allows_no_pods_is_shown(namespace: Namespace) -> None:
    namespace.create("ResourceQuota", "few", spec={"hard": {"pods": "2"}})
    namespace.create("DimseProxy", NAME, spec=ORIGINAL)
    namespace.until(lambda: namespace.condition(NAME, "Ready")["reason"] == "ReplicaFailure", "it is shown")
    assert "exceeded quota: few" in namespace.status(NAME)["message"]
    assert namespace.condition(NAME, "Progressing")["status"] == "False"
    namespace.delete("ResourceQuota", "few")
    # The controller of ReplicaSets tries again at growing intervals.
    namespace.until_ready(NAME, timeout=120)


def test_an_apply_that_fails_is_tried_again(namespace: Namespace, api: Api) -> None:
    """A webhook that nobody answers: status 500, as when the API server itself is in trouble."""
    name = f"unanswered.{namespace.name}"
    hook = {
        "name": f"{name}.example.org",
        "clientConfig": {"url": "https://127.0.0.1:1/", "caBundle": certificate(api)},
        "rules": [
            {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]}
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    kind = "ValidatingWebhookConfiguration"
    version = "admissionregistration.k8s.io/v1"
    api.create({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "webhooks": [hook]})
    try:
        namespace.until(lambda: refused(namespace), "the webhook is asked")
        namespace.create("DimseProxy", NAME, spec=ORIGINAL)
        namespace.until(lambda: namespace.names("ConfigMap") > {"kube-root-ca.crt"}, "the first objects")
    finally:
        api.delete(kind, name)
    namespace.until_ready(NAME, timeout=120)


def refused(namespace: Namespace) -> bool:
    labels = {"matchLabels": {"app": "x"}}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "x", "image": "x:1"}]}}
    item: Manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "probe", "namespace": namespace.name},
        "spec": {"selector": labels, "template": template},
    }
    path = namespace.api.path("Deployment", namespace=namespace.name, dryRun="All")
    return namespace.api.raw("POST", path, item)[0] == 500


def certificate(api: Api) -> str:
    found = api.get("ConfigMap", "kube-root-ca.crt", namespace="default")
    assert found is not None
    return base64.b64encode(found["data"]["ca.crt"].encode()).decode()


@contextmanager
def undeletable(namespace: Namespace) -> Iterator[None]:
    """Let nobody delete a DimseProxy of the namespace."""
    api, name, version = namespace.api, f"keep.{namespace.name}", "admissionregistration.k8s.io/v1"
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["DELETE"], "resources": ["dimseproxies"]}
    where = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}}
    policy = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "false"}]}
    binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": where}
    kinds = {"ValidatingAdmissionPolicy": policy, "ValidatingAdmissionPolicyBinding": binding}
    for kind, spec in kinds.items():
        api.create({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec})
    try:
        yield
    finally:
        for kind in kinds:
            api.delete(kind, name)


@contextmanager
def allowed_everywhere(api: Api) -> Iterator[None]:
    """Let the operator work in every namespace: its rights don't go with the bindings of one that is deleted."""
    (binding,) = (
        one for one in built("rbac/everywhere") if one["metadata"]["name"] == "dimse-mesh-operator-zone"
    )
    api.create(binding)
    try:
        yield
    finally:
        api.delete(binding["kind"], binding["metadata"]["name"])


def test_nothing_is_repaired_in_a_namespace_that_is_being_deleted(namespace: Namespace, pages: int) -> None:
    namespace.create("DimseProxy", NAME, spec=ORIGINAL)
    namespace.until_ready(NAME)
    wait_until_quiet(namespace, pages, resources=1)
    with allowed_everywhere(namespace.api), undeletable(namespace):
        path = namespace.api.path("DimseProxy", NAME, namespace=namespace.name, dryRun="All")
        namespace.until(lambda: namespace.api.raw("DELETE", path)[0] == 422, "it can't be deleted")
        before = forbidden(pages)
        namespace.api.delete("Namespace", namespace.name)
        namespace.until(lambda: not namespace.made(), "all that was made for it is gone", timeout=120)
        namespace.until(lambda: forbidden(pages) > before, "the operator has seen it")
        seen = passes(pages)
        namespace.patch("DimseProxy", NAME, {"metadata": {"annotations": {"example.org/n": "1"}}})
        wait_until(lambda: passes(pages) > seen, "the operator looks again", timeout=60)
        assert forbidden(pages) - before == 1
    namespace.until(lambda: namespace.api.get("Namespace", namespace.name) is None, "it is gone", timeout=120)


def forbidden(port: int) -> float:
    """Return how many objects the operator was not allowed to apply."""
    return total(port, "api_requests_total", 'status="403",verb="PATCH"')


def total(port: int, name: str, label: str = "") -> float:
    """Return the sum of the operator's metric `name` (with `label`), what it asks of its Lease aside."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(f"dimse_mesh_operator_{name}{{") and 'kind="Lease"' not in line and label in line
    )


def requests(port: int) -> float:
    return total(port, "api_requests_total")


def known(port: int) -> float:
    return total(port, "resources")


def passes(port: int) -> float:
    return total(port, "reconciles_total")


def wait_until_quiet(namespace: Namespace, port: int, resources: int) -> None:
    """Return when the operator knows `resources` only, and asked nothing for a second.

    The API server deletes former tests' namespaces object by object, and the operator repairs what it can until the
    resource itself is gone.
    """
    counts: deque[float] = deque(maxlen=100)

    def quiet() -> bool:
        if known(port) != resources:
            counts.clear()
        counts.append(requests(port))
        return len(counts) == counts.maxlen and counts[0] == counts[-1]

    try:
        wait_until(quiet, "the operator to have nothing to do", timeout=120)
    except AssertionError as error:
        left = [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in every(namespace)]
        raise AssertionError(f"{error}; it knows {known(port):g} resources; there are {left}") from None


def every(namespace: Namespace) -> list[Manifest]:
    return namespace.api.list("DimseProxy")


def test_rest_and_lasting_trouble_cost_few_calls(namespace: Namespace, pages: int) -> None:
    """Twenty changes of what nobody cares for: the operator looks, and asks the API server nothing."""
    bad = {"services": {"scu": {"nodeSelector": {"a label": "x"}}}}
    namespace.create("DimseProxy", "well", spec=ORIGINAL)
    namespace.create("DimseProxy", "ill", spec={**ORIGINAL, **bad})
    namespace.until_ready("well")
    namespace.until(lambda: namespace.condition("ill", "Ready")["reason"] == "Refused", "it is refused")
    wait_until_quiet(namespace, pages, resources=2)
    asked, passed, begun = requests(pages), passes(pages), time.monotonic()
    for number in range(20):
        for name in ("well", "ill"):
            namespace.patch("DimseProxy", name, {"metadata": {"annotations": {"example.org/n": str(number)}}})
        seen = passes(pages)
        wait_until(lambda seen=seen: passes(pages) > seen, "the change was looked at", timeout=60)  # type: ignore[misc]  # mypy #2452
    assert passes(pages) - passed >= 20
    # The refused object is tried again after 1, 2, 4, 8, ... seconds, with two calls each time; a status or an event
    # that was still due may come on top. One call a pass would be 40.
    tries = 1 + math.log2(1 + time.monotonic() - begun)
    assert requests(pages) - asked <= 6 + 2 * tries
