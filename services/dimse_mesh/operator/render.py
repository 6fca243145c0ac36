"""A DimseProxy rendered to plain manifests, for clusters where the operator isn't wanted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

from dimse_mesh.operator.desired import desired_objects
from dimse_mesh.operator.names import Manifest, Owner
from dimse_mesh.operator.resource import KIND
from dimse_mesh.operator.zone import InvalidResourceError, parse_spec
from dimse_mesh.runtime.yaml_file import why_no_yaml


def render(resource: Manifest, *, default_image: str) -> list[Manifest]:
    """Return the objects of one DimseProxy without owner references: nothing else deletes them.

    Raises:
        InvalidResourceError: the resource is not valid.
    """
    metadata = resource.get("metadata") or {}
    if "name" not in metadata:
        raise InvalidResourceError(["metadata.name: missing"])
    owner = Owner(metadata["name"], metadata.get("namespace", "default"), uid="")
    objects = desired_objects(owner, parse_spec(resource.get("spec") or {}), default_image=default_image)
    for item in objects:
        del item["metadata"]["ownerReferences"]
        if "namespace" not in metadata:
            del item["metadata"]["namespace"]
    return objects


def resources_in(path: Path) -> list[Manifest]:
    """Return the DimseProxy documents of a YAML file.

    Raises:
        InvalidResourceError: it can't be read, or is no YAML.
    """
    try:
        with path.open("rb") as file:
            documents = list(yaml.safe_load_all(file))
    except OSError as error:
        raise InvalidResourceError([f"can't be read: {error.strerror}"]) from error
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidResourceError([why_no_yaml(error)]) from error
    return [item for item in documents if isinstance(item, dict) and item.get("kind") == KIND]


def to_yaml(documents: Iterable[Manifest]) -> str:
    """Return the documents as one YAML stream."""
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=110)
