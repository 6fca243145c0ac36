"""A DimseProxy rendered to plain manifests, for clusters where the operator isn't wanted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

from dimse_mesh.operator.desired import desired_objects
from dimse_mesh.operator.names import Manifest, Owner
from dimse_mesh.operator.resource import KIND
from dimse_mesh.operator.zone import parse_spec


def render(resource: Manifest, *, default_image: str) -> list[Manifest]:
    """Return the objects of one DimseProxy without owner references: nothing else deletes them.

    Raises:
        InvalidResourceError: the resource is not valid.
    """
    metadata = resource["metadata"]
    owner = Owner(metadata["name"], metadata.get("namespace", "default"), uid="")
    objects = desired_objects(owner, parse_spec(resource.get("spec") or {}), default_image=default_image)
    for item in objects:
        del item["metadata"]["ownerReferences"]
        if "namespace" not in metadata:
            del item["metadata"]["namespace"]
    return objects


def resources_in(path: Path) -> list[Manifest]:
    """Return the DimseProxy documents of a YAML file."""
    with path.open(encoding="utf-8") as file:
        return [item for item in yaml.safe_load_all(file) if item and item.get("kind") == KIND]


def to_yaml(documents: Iterable[Manifest]) -> str:
    """Return the documents as one YAML stream."""
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=110)
