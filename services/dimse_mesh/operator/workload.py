"""The part of the custom resource that says how each service runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

from pydantic import Field, model_validator

from dimse_mesh.operator.fields import ObjectName, Quantity, ResourceModel, refused_by


class Resources(ResourceModel):
    """Requests and limits of a container, as Kubernetes quantities."""

    requests: dict[str, Quantity] = Field(default_factory=dict, description="Requests, such as `cpu: 100m`.")
    limits: dict[str, Quantity] = Field(default_factory=dict, description="Limits, such as `memory: 512Mi`.")


class Scaler(StrEnum):
    """Who scales a Deployment."""

    HPA = "hpa"
    KEDA = "keda"


class Autoscaling(ResourceModel):
    """Scale a service by its load: open associations (association, scu), operations per second (handlers)."""

    model_config = refused_by(
        ("self.minReplicas <= self.maxReplicas", "maxReplicas is less than minReplicas"),
    )

    scaler: Scaler = Field(
        default=Scaler.HPA,
        description="`hpa`: HorizontalPodAutoscaler on a Pods metric, which needs a metrics adapter. "
        "`keda`: ScaledObject.",
    )
    min_replicas: int = Field(default=1, ge=1, le=1000, description="Never fewer.")
    max_replicas: int = Field(default=10, ge=1, le=1000, description="Never more.")
    target_per_pod: int | None = Field(
        default=None,
        ge=1,
        le=100000,
        description="Load that one pod should carry on average: associations (20 if not set), or for handlers "
        "operations per second (1000).",
    )
    scale_in_after_seconds: int = Field(
        default=300, ge=0, le=3600, description="How long the load must be low first."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise ValueError("maxReplicas is less than minReplicas")
        return self


class Placement(ResourceModel):
    """What the pods of a service get, and where they run."""

    resources: Resources | None = Field(
        default=None, description="Requests and limits. Default: see the sizing guide."
    )
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels of the nodes to run on.")
    tolerations: list[dict[str, Any]] = Field(
        default_factory=list,
        max_length=32,
        description="Taints of nodes to run on all the same, as in a pod.",
    )
    affinity: dict[str, Any] | None = Field(default=None, description="Affinity, as in a pod.")
    topology_spread_constraints: list[dict[str, Any]] = Field(
        default_factory=list,
        max_length=16,
        description="How pods are spread, as in a pod. Default: over the nodes, where that is possible.",
    )
    priority_class_name: ObjectName | None = Field(default=None, description="Priority class of the pods.")
    pod_labels: dict[str, str] = Field(default_factory=dict, description="More labels for the pods.")
    pod_annotations: dict[str, str] = Field(default_factory=dict, description="Annotations for the pods.")
    extra_volumes: list[dict[str, Any]] = Field(
        default_factory=list, max_length=32, description="More volumes, as in a pod."
    )
    extra_volume_mounts: list[dict[str, Any]] = Field(
        default_factory=list, max_length=32, description="Where the container has them, as in a container."
    )


class Service(Placement):
    """How a service runs."""

    replicas: int = Field(default=1, ge=0, le=1000, description="Pods. Ignored where autoscaling is set.")
    autoscaling: Autoscaling | None = Field(default=None, description="Absent: a fixed number of replicas.")


class SingleService(Placement):
    """How a service runs of which there is one pod at most."""

    replicas: int = Field(default=1, ge=0, le=1, description="Pods: 1, or 0 to stop it.")

    @property
    def autoscaling(self) -> Autoscaling | None:
        """None: nothing scales it."""
        return None


class Services(ResourceModel):
    """The services."""

    association: Service = Field(default_factory=Service, description="The DICOM listener (front-end).")
    store: Service = Field(default_factory=Service, description="Handler of C-STORE.")
    query_retrieve: Service = Field(default_factory=Service, description="Handler of C-FIND, C-MOVE, C-GET.")
    n_service: Service = Field(default_factory=Service, description="Handler of every N-* service.")
    scu: Service = Field(default_factory=Service, description="Executor: associations with the remote AEs.")
    delivery: SingleService = Field(
        default_factory=SingleService,
        description="Deliveries of durable routes to this zone's AEs; it runs where `spec.delivery` is set.",
    )
