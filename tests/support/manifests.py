"""The manifests of the repository, as the API server would get them."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from dimse_mesh.operator.render import render, resources_in
from tests.support.process import require_tool

K8S = Path("k8s")
LEAVES = (
    "crd",
    "rbac",
    "operator",
    "nats",
    "demo",
    "base",
    "samples",
    "dashboards",
    "observability",
    "overlays/dev",
    "overlays/observed",
    "overlays/prod",
    "overlays/everywhere",
    "overlays/bound",
    "overlays/namespaced",
    "rbac/zone",
    "rbac/looking",
    "rbac/everywhere",
)
SAMPLES = ("original", "full", "two-zones")


@cache
def built(leaf: str) -> tuple[dict[str, Any], ...]:
    """Return what `kubectl kustomize` makes of one folder."""
    kubectl = require_tool("kubectl")
    run = subprocess.run(
        [kubectl, "kustomize", str(K8S / leaf)], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    return tuple(item for item in yaml.safe_load_all(run.stdout) if item)


@cache
def rendered(sample: str) -> tuple[dict[str, Any], ...]:
    """Return what the operator makes of one sample file."""
    resources = resources_in(K8S / "samples" / f"{sample}.yaml")
    return tuple(
        item for resource in resources for item in render(resource, default_image="dimse-mesh:latest")
    )


def every_object() -> list[dict[str, Any]]:
    """Return every object of every folder and every sample."""
    objects = [item for leaf in LEAVES for item in built(leaf)]
    return objects + [item for sample in SAMPLES for item in rendered(sample)]


def workloads() -> list[dict[str, Any]]:
    """Return every Deployment and StatefulSet."""
    return [item for item in every_object() if item["kind"] in {"Deployment", "StatefulSet"}]
