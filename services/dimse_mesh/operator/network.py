"""The Service in front of the listeners, and who may talk to whom."""

from __future__ import annotations

from dimse_mesh.operator.deployment import HTTP_PORT_NAME, listener_ports
from dimse_mesh.operator.names import Component, Manifest, Owner
from dimse_mesh.operator.resource import DimseProxySpec, ServiceType

NATS_PORT = 4222


def listener_service(owner: Owner, spec: DimseProxySpec) -> Manifest:
    """Return the Service in front of the listeners; traffic from outside keeps the client's address."""
    body: Manifest = {
        "type": spec.exposure.type.value,
        "selector": owner.selector(Component.ASSOCIATION),
        "ports": listener_ports(spec),
        "sessionAffinity": "None",
    }
    if spec.exposure.type is not ServiceType.CLUSTER_IP:
        body["externalTrafficPolicy"] = "Local"
    if spec.exposure.type is ServiceType.LOAD_BALANCER and spec.exposure.source_ranges:
        body["loadBalancerSourceRanges"] = list(spec.exposure.source_ranges)
    metadata = owner.metadata(owner.child(), Component.ASSOCIATION)
    if spec.exposure.annotations:
        metadata["annotations"] = dict(spec.exposure.annotations)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": body}


def network_policy(owner: Owner, spec: DimseProxySpec, component: Component) -> Manifest:
    """Return the rules for one service's pods: in, what it serves; out, if wanted, only what it calls."""
    ingress: list[Manifest] = [
        {
            # Kubelet, Prometheus, the operator: health and metrics, from inside the cluster.
            "from": [{"namespaceSelector": {}}],
            "ports": [{"protocol": "TCP", "port": HTTP_PORT_NAME}],
        }
    ]
    if component is Component.ASSOCIATION:
        rule: Manifest = {
            "ports": [{"protocol": "TCP", "port": port["targetPort"]} for port in listener_ports(spec)]
        }
        if spec.exposure.source_ranges:
            rule["from"] = [{"ipBlock": {"cidr": cidr}} for cidr in spec.exposure.source_ranges]
        ingress.append(rule)
    rules: Manifest = {
        "podSelector": {"matchLabels": owner.selector(component)},
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    }
    if spec.network_policy.restrict_egress:
        rules["policyTypes"].append("Egress")
        rules["egress"] = _egress(spec, component)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": owner.metadata(owner.child(component), component),
        "spec": rules,
    }


def _egress(spec: DimseProxySpec, component: Component) -> list[Manifest]:
    ports = [*nats_ports(spec)]
    if component in {Component.SCU, Component.DELIVERY}:
        ports += _target_ports(spec)
    if (port := _otlp_port(spec)) is not None:
        ports.append(port)
    return [
        {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]},
        {"ports": [{"protocol": "TCP", "port": port} for port in sorted(set(ports))]},
    ]


def nats_ports(spec: DimseProxySpec) -> list[int]:
    """Return the ports of natsUrl."""
    return sorted({_port_of(part, NATS_PORT) for part in spec.nats_url.split(",") if part})


def _target_ports(spec: DimseProxySpec) -> list[int]:
    ports = {remote.port for remote in spec.remote_aes}
    if spec.target_dimse_port:
        ports.add(spec.target_dimse_port)
    return sorted(ports)


def _otlp_port(spec: DimseProxySpec) -> int | None:
    endpoint = spec.observability.otlp_endpoint
    if endpoint is None:
        return None
    scheme, _, rest = endpoint.partition("://")
    return _port_of(rest.partition("/")[0], 443 if scheme == "https" else 80)


def _port_of(authority: str, default: int) -> int:
    """Return the port of `host:port` or `[v6]:port`, or the default."""
    host, colon, port = authority.rpartition(":")
    return int(port) if colon and port.isdigit() and not host.endswith(":") else default
