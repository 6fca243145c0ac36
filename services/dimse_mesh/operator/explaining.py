"""Refusals of the API server in the words of the custom resource: its field, not the object's that we made of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dimse_mesh.operator.cluster import ApiError
from dimse_mesh.operator.names import Component, Manifest
from dimse_mesh.operator.status import Problem

NAMESPACE_TERMINATING = "NamespaceTerminating"
_POD = "spec.template.spec"
_CONTAINER = rf"{_POD}.containers\[0\]"
_SERVICE = "spec.services.{service}"

# By kind: what the path of the refused field begins with (a regular expression), and the resource's field.
_FIELDS: dict[str, Sequence[tuple[str, str]]] = {
    "Deployment": (
        (rf"{_CONTAINER}.resources", f"{_SERVICE}.resources"),
        (rf"{_CONTAINER}.image$", "spec.proxy.image"),
        (rf"{_CONTAINER}.ports", "spec.listeners"),
        (rf"{_CONTAINER}.volumeMounts", f"{_SERVICE}.extraVolumeMounts"),
        (rf"{_POD}.nodeSelector", f"{_SERVICE}.nodeSelector"),
        (rf"{_POD}.tolerations", f"{_SERVICE}.tolerations"),
        (rf"{_POD}.affinity", f"{_SERVICE}.affinity"),
        (rf"{_POD}.topologySpreadConstraints", f"{_SERVICE}.topologySpreadConstraints"),
        (rf"{_POD}.priorityClassName", f"{_SERVICE}.priorityClassName"),
        (rf"{_POD}.volumes", f"{_SERVICE}.extraVolumes"),
        (rf"{_POD}.imagePullSecrets", "spec.imagePullSecrets"),
        ("spec.template.(metadata.)?annotations", f"{_SERVICE}.podAnnotations"),
        ("spec.template.(metadata.)?labels", f"{_SERVICE}.podLabels"),
        ("spec.replicas", f"{_SERVICE}.replicas"),
    ),
    "Service": (
        ("spec.ports", "spec.listeners"),
        ("spec.(loadBalancerSourceRanges|LoadBalancerSourceRanges)", "spec.exposure.sourceRanges"),
        ("metadata.annotations", "spec.exposure.annotations"),
        ("spec.type", "spec.exposure.type"),
    ),
    "NetworkPolicy": (
        (r"spec.ingress.*(cidr|ipBlock)", "spec.exposure.sourceRanges"),
        ("spec.ingress", "spec.listeners"),
        ("spec.egress", "spec.networkPolicy.restrictEgress"),
    ),
    "HorizontalPodAutoscaler": (
        ("spec.minReplicas", f"{_SERVICE}.autoscaling.minReplicas"),
        ("spec.maxReplicas", f"{_SERVICE}.autoscaling.maxReplicas"),
        ("spec.behavior", f"{_SERVICE}.autoscaling.scaleInAfterSeconds"),
        ("spec.metrics", f"{_SERVICE}.autoscaling.targetPerPod"),
        ("spec", f"{_SERVICE}.autoscaling"),
    ),
    "ScaledObject": (("spec", f"{_SERVICE}.autoscaling"),),
}


def refusal(item: Manifest, error: ApiError) -> Problem:
    """Return the problem that a refused apply of `item` is."""
    kind, name = item["kind"], item["metadata"]["name"]
    if error.status == 404 and kind == "ScaledObject":
        where = f"{_of_service(item)}.autoscaling.scaler"
        text = "keda: this cluster has no ScaledObject; install KEDA, or set scaler: hpa"
        return Problem("KedaMissing", f"{where}: {text}")
    if error.status == 403 and "being terminated" in str(error):
        return Problem(NAMESPACE_TERMINATING, f"{kind} {name}: the namespace is being deleted")
    if error.status == 403 and "quota" in str(error):
        return Problem("QuotaExceeded", f"{kind} {name}: {error}")
    if error.status == 403:
        return Problem("Forbidden", f"{kind} {name}: {error}")
    if error.status == 409:
        return Problem("Conflict", f"{kind} {name}: {error}")
    found = sorted({field for path in error.fields if (field := _field(item, path))})
    return Problem("Refused", f"{', '.join(found) or 'spec'}: {kind} {name} was refused: {error}")


def _field(item: Manifest, path: str) -> str:
    if path.startswith("metadata.name"):
        return "metadata.name"
    for pattern, field in _FIELDS.get(item["kind"], ()):
        if re.match(pattern, path):
            return field.replace(_SERVICE, _of_service(item))
    return ""


def _of_service(item: Manifest) -> str:
    component = Component(item["metadata"]["labels"]["app.kubernetes.io/component"])
    words = component.field.split("_")
    return _SERVICE.format(service=words[0] + "".join(word.capitalize() for word in words[1:]))
