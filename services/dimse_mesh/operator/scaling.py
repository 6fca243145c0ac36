"""Replicas: who sets them, by which load, and how many may be away at a time."""

from __future__ import annotations

from dimse_mesh.operator.names import Component, Manifest, Owner
from dimse_mesh.operator.resource import Autoscaling, DimseProxySpec, Scaler

ASSOCIATIONS_METRIC = "dimse_mesh_associations_open"
OPERATIONS_METRIC = "dimse_mesh_operations_in_flight"


def disruption_budget(owner: Owner, component: Component) -> Manifest:
    """Return the budget: a node drain takes one pod of a service at a time, and is never stuck."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": owner.metadata(owner.child(component), component),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": owner.selector(component)}},
    }


def autoscaler(owner: Owner, spec: DimseProxySpec, component: Component, rule: Autoscaling) -> Manifest:
    """Return what sets the replicas of one service by its load."""
    match rule.scaler:
        case Scaler.HPA:
            return _horizontal_pod_autoscaler(owner, component, rule)
        case Scaler.KEDA:
            return _scaled_object(owner, component, rule, spec.observability.prometheus_url or "")


def load_metric(component: Component) -> str:
    """Return the gauge of the services that says how loaded a pod of `component` is."""
    return ASSOCIATIONS_METRIC if component.holds_associations else OPERATIONS_METRIC


def _horizontal_pod_autoscaler(owner: Owner, component: Component, rule: Autoscaling) -> Manifest:
    name = owner.child(component)
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": owner.metadata(name, component),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": rule.min_replicas,
            "maxReplicas": rule.max_replicas,
            "metrics": [
                {
                    "type": "Pods",
                    "pods": {
                        "metric": {"name": load_metric(component)},
                        "target": {"type": "AverageValue", "averageValue": str(rule.target_per_pod)},
                    },
                }
            ],
            "behavior": _behavior(rule),
        },
    }


def _scaled_object(owner: Owner, component: Component, rule: Autoscaling, prometheus: str) -> Manifest:
    name = owner.child(component)
    query = (
        f'sum({load_metric(component)}{{namespace="{owner.namespace}",pod=~"{name}-[a-z0-9]+-[a-z0-9]+"}})'
    )
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": owner.metadata(name, component),
        "spec": {
            "scaleTargetRef": {"name": name},
            "minReplicaCount": rule.min_replicas,
            "maxReplicaCount": rule.max_replicas,
            "triggers": [
                {
                    "type": "prometheus",
                    "metricType": "AverageValue",
                    "metadata": {
                        "serverAddress": prometheus,
                        "query": query,
                        "threshold": str(rule.target_per_pod),
                        # A scrape that fails must not scale to the maximum, nor to the minimum.
                        "ignoreNullValues": "false",
                    },
                }
            ],
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(rule)}},
        },
    }


def _behavior(rule: Autoscaling) -> Manifest:
    return {
        "scaleUp": {"stabilizationWindowSeconds": 0},
        "scaleDown": {
            "stabilizationWindowSeconds": rule.scale_in_after_seconds,
            # One at a time: each pod that goes drains its associations first.
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
        },
    }
