"""Replicas: who sets them, by which load, and how many may be away at a time."""

from __future__ import annotations

from dimse_mesh.operator.names import Component, Manifest, Owner
from dimse_mesh.operator.resource import DimseProxySpec
from dimse_mesh.operator.workload import Autoscaling, Scaler

ASSOCIATIONS_METRIC = "dimse_mesh_associations_open"
HANDLER_METRIC = "dimse_mesh_handler_operations_total"
"""A handler decides at once and holds nothing, so what loads it is a rate, not a number in flight."""
HANDLER_RATE = HANDLER_METRIC.removesuffix("_total")
"""That counter per second, as the default rules of prometheus-adapter name it."""
DEFAULT_TARGET = {True: 20, False: 1000}
"""By `Component.holds_associations`: associations, or operations per second."""


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
    """Return the metric of the custom metrics API that says how loaded a pod of `component` is."""
    return ASSOCIATIONS_METRIC if component.holds_associations else HANDLER_RATE


def load_query(component: Component, selector: str) -> str:
    """Return the PromQL of the load that the pods of `component` carry together."""
    if component.holds_associations:
        return f"sum({ASSOCIATIONS_METRIC}{{{selector}}})"
    return f"sum(rate({HANDLER_METRIC}{{{selector}}}[2m]))"


def _target(component: Component, rule: Autoscaling) -> str:
    return str(rule.target_per_pod or DEFAULT_TARGET[component.holds_associations])


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
                        "target": {"type": "AverageValue", "averageValue": _target(component, rule)},
                    },
                }
            ],
            "behavior": _behavior(rule),
        },
    }


def _scaled_object(owner: Owner, component: Component, rule: Autoscaling, prometheus: str) -> Manifest:
    name = owner.child(component)
    query = load_query(component, f'namespace="{owner.namespace}",pod=~"{name}-[a-z0-9]+-[a-z0-9]+"')
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
                        "threshold": _target(component, rule),
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
