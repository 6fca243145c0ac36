"""Names and labels of what the operator makes, and the names of the services in three spellings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dimse_mesh.operator.resource import GROUP, KIND, VERSION

Manifest = dict[str, Any]
"""A Kubernetes object as the API server takes it."""

MANAGER = "dimse-mesh-operator"
"""Field manager of server-side apply and value of the managed-by label."""

LABEL_LIMIT = 63

CONFIG_ANNOTATION = f"{GROUP}/config"
"""Of pods: digest of their configuration."""
SECRETS_ANNOTATION = f"{GROUP}/secrets"
"""Of pods: digests of the Secrets that they use."""
PAUSED_ANNOTATION = f"{GROUP}/paused"
"""Of a DimseProxy: the operator changes nothing while it is "true"."""


class Component(StrEnum):
    """The services; the value is what `dimse-mesh run` takes and the last part of object names."""

    ASSOCIATION = "association"
    STORE = "store"
    QUERY_RETRIEVE = "query-retrieve"
    N_SERVICE = "n-service"
    SCU = "scu"
    DELIVERY = "delivery"
    """Only where the resource asks for it: `zone.components`."""

    @property
    def field(self) -> str:
        """Name of the attribute in `Services` and in the zone's settings."""
        return self.value.replace("-", "_")

    @property
    def holds_associations(self) -> bool:
        """True for the two that own DICOM sockets: they drain, and scale by associations."""
        return self in {Component.ASSOCIATION, Component.SCU}

    @property
    def carries_data_sets(self) -> bool:
        """True for those that data sets pass through; handlers see commands only."""
        return self.holds_associations or self is Component.DELIVERY


STANDING = tuple(component for component in Component if component is not Component.DELIVERY)
"""The services that every zone has."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The DimseProxy that the objects belong to."""

    name: str
    namespace: str
    uid: str

    def child(self, suffix: str = "") -> str:
        """Name an object of this owner: a DNS label, shortened with a digest when it would be too long."""
        name = f"{self.name}-{suffix}" if suffix else self.name
        if len(name) <= LABEL_LIMIT:
            return name
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        tail = f"-{digest}-{suffix}" if suffix else f"-{digest}"
        return self.name[: LABEL_LIMIT - len(tail)].rstrip("-.") + tail

    def selector(self, component: Component) -> dict[str, str]:
        """Return the labels by which one service's pods are found; they never change."""
        return {
            "app.kubernetes.io/name": "dimse-mesh",
            "app.kubernetes.io/instance": self.child(),
            "app.kubernetes.io/component": component.value,
        }

    def labels(self, component: Component | None = None) -> dict[str, str]:
        """Return the labels of every object."""
        common = {
            "app.kubernetes.io/name": "dimse-mesh",
            "app.kubernetes.io/instance": self.child(),
            "app.kubernetes.io/part-of": "dimse-mesh",
            "app.kubernetes.io/managed-by": MANAGER,
        }
        return common | (self.selector(component) if component else {})

    def metadata(self, name: str, component: Component | None = None) -> Manifest:
        """Return the metadata of a child: deleted with its owner by the garbage collector."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels(component),
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": KIND,
                    "name": self.name,
                    "uid": self.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        }
