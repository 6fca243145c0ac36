"""The Deployment of one service: probes, drain, least privilege, roll-out when its configuration changes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

from dimse_mesh.operator.names import CONFIG_ANNOTATION, SECRETS_ANNOTATION, Component, Manifest, Owner
from dimse_mesh.operator.resource import DimseProxySpec
from dimse_mesh.operator.workload import Placement, Resources, Service, SingleService
from dimse_mesh.operator.zone import CONFIG_DIR, CONFIG_FILE, SECRETS_DIR, SecretUse, secret_uses

HTTP_PORT_NAME = "http"
LISTENER_PORT_NAME = "dicom"
USER_ID = 10001
"""The image's user; see Dockerfile."""

UNPUBLISH_SECONDS = 5
"""How long a stopping pod still accepts, until every node has taken it out of the Service."""
DRAIN_MARGIN_SECONDS = 25
"""What is left after the drain for aborting what remains and for closing NATS."""
HANDLER_GRACE_SECONDS = 60

DEFAULT_RESOURCES = {
    True: Resources(requests={"cpu": "250m", "memory": "192Mi"}, limits={"cpu": "2", "memory": "1Gi"}),
    False: Resources(requests={"cpu": "100m", "memory": "128Mi"}, limits={"cpu": "1", "memory": "256Mi"}),
}
"""By `Component.carries_data_sets`; the sizing guide says why."""


def config_map(owner: Owner, component: Component, text: str) -> Manifest:
    """Return the ConfigMap that holds one service's view of the zone."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owner.metadata(owner.child(component), component),
        "data": {"zone.yaml": text},
    }


def deployment(
    owner: Owner,
    spec: DimseProxySpec,
    component: Component,
    *,
    image: str,
    config_text: str,
    secret_digests: Mapping[str, str],
) -> Manifest:
    """Return the Deployment of one service.

    Args:
        config_text: what the ConfigMap holds; the pods are replaced when it changes.
        secret_digests: by `SecretUse.label`; the pods are replaced when one of theirs changes.
    """
    service: Service | SingleService = getattr(spec.services, component.field)
    uses = secret_uses(spec, component)
    body: Manifest = {
        "selector": {"matchLabels": owner.selector(component)},
        "revisionHistoryLimit": 3,
        "strategy": _strategy(component),
        "template": {
            "metadata": {
                # Ours win: selectors and the operator itself find pods by them.
                "labels": service.pod_labels | owner.labels(component),
                "annotations": _annotations(spec, service, config_text, uses, secret_digests),
            },
            "spec": _pod(owner, spec, component, image=image, uses=uses),
        },
    }
    if service.autoscaling is None:
        body["replicas"] = service.replicas
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": owner.metadata(owner.child(component), component),
        "spec": body,
    }


def _strategy(component: Component) -> Manifest:
    if component is Component.DELIVERY:
        # Two at a time would send everything twice.
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def _grace_seconds(spec: DimseProxySpec, component: Component) -> int:
    if component.holds_associations:
        return spec.drain_seconds + UNPUBLISH_SECONDS + DRAIN_MARGIN_SECONDS
    if component is Component.DELIVERY and spec.delivery is not None:
        drain = math.ceil(spec.delivery.drain_timeout)
        return max(HANDLER_GRACE_SECONDS, drain + UNPUBLISH_SECONDS + DRAIN_MARGIN_SECONDS)
    return HANDLER_GRACE_SECONDS


def _annotations(
    spec: DimseProxySpec,
    service: Placement,
    config_text: str,
    uses: list[SecretUse],
    digests: Mapping[str, str],
) -> dict[str, str]:
    secrets = {use.label: digests[use.label] for use in uses if use.label in digests}
    return {
        **service.pod_annotations,
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(spec.observability.http_port),
        "prometheus.io/path": "/metrics",
        CONFIG_ANNOTATION: _digest(config_text),
        SECRETS_ANNOTATION: ",".join(f"{label}={digest}" for label, digest in sorted(secrets.items())),
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _pod(
    owner: Owner, spec: DimseProxySpec, component: Component, *, image: str, uses: list[SecretUse]
) -> Manifest:
    service: Placement = getattr(spec.services, component.field)
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _grace_seconds(spec, component),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [dict(one) for one in service.topology_spread_constraints]
        or [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": owner.selector(component)},
            }
        ],
        "containers": [_container(spec, component, image=image, uses=uses)],
        "volumes": [
            {
                "name": "config",
                "configMap": {"name": owner.child(component), "defaultMode": 0o440},
            },
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
            *(_volume(use) for use in uses if use.volume),
            *(dict(one) for one in service.extra_volumes),
        ],
    }
    if service.node_selector:
        pod["nodeSelector"] = dict(service.node_selector)
    if service.tolerations:
        pod["tolerations"] = [dict(one) for one in service.tolerations]
    if service.affinity:
        pod["affinity"] = dict(service.affinity)
    if service.priority_class_name:
        pod["priorityClassName"] = service.priority_class_name
    if spec.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret.name} for secret in spec.image_pull_secrets]
    return pod


def _volume(use: SecretUse) -> Manifest:
    items = [{"key": key, "path": key} for key in use.keys]
    return {
        "name": use.volume,
        "secret": {"secretName": use.secret, "defaultMode": 0o440, "items": items},
    }


def _container(spec: DimseProxySpec, component: Component, *, image: str, uses: list[SecretUse]) -> Manifest:
    service: Placement = getattr(spec.services, component.field)
    resources = service.resources or DEFAULT_RESOURCES[component.carries_data_sets]
    ports = [{"name": HTTP_PORT_NAME, "containerPort": spec.observability.http_port, "protocol": "TCP"}]
    if component is Component.ASSOCIATION:
        ports += [
            {"name": _port_name(index), "containerPort": listener.port, "protocol": "TCP"}
            for index, listener in enumerate(spec.listeners)
        ]
    return {
        "name": component.value,
        "image": image,
        "imagePullPolicy": spec.image_pull_policy.value,
        "args": ["run", component.value, "--config", CONFIG_FILE],
        "ports": ports,
        "env": _environment(spec, component, uses),
        "resources": resources.model_dump(exclude_defaults=True),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": not spec.proxy.live_update,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "startupProbe": _probe("/livez", period=1, failures=60),
        "livenessProbe": _probe("/livez", period=10, failures=3),
        "readinessProbe": _probe("/readyz", period=3, failures=2),
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(UNPUBLISH_SECONDS)]}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
            *(
                {"name": use.volume, "mountPath": f"{SECRETS_DIR}/{use.volume}", "readOnly": True}
                for use in uses
                if use.volume
            ),
            *(dict(one) for one in service.extra_volume_mounts),
        ],
    }


def _port_name(index: int) -> str:
    return LISTENER_PORT_NAME if index == 0 else f"{LISTENER_PORT_NAME}-{index}"


def listener_ports(spec: DimseProxySpec) -> list[Manifest]:
    """Return the ports of the listener Service, by the names that the pods give them."""
    return [
        {
            "name": _port_name(index),
            "port": listener.port,
            "targetPort": _port_name(index),
            "protocol": "TCP",
        }
        for index, listener in enumerate(spec.listeners)
    ]


def _probe(path: str, *, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": HTTP_PORT_NAME, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _environment(spec: DimseProxySpec, component: Component, uses: list[SecretUse]) -> list[Manifest]:
    variables: list[Manifest] = [
        {"name": "OTEL_SERVICE_NAME", "value": f"dimse-mesh-{component.value}"},
    ]
    if spec.observability.otlp_endpoint:
        variables.append({"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": spec.observability.otlp_endpoint})
    for use in uses:
        variables += [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": use.secret, "key": key}}}
            for name, key in (use.environment or {}).items()
        ]
    return variables
