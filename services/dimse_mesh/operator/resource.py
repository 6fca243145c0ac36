"""The DimseProxy custom resource as people write it: every field, its default and its limits.

The first group of fields is the original product's and keeps its meaning; everything else is optional.
The custom resource definition and the field reference are generated from these models (`crd`, `reference`),
so a description here is what `kubectl explain` and the documentation say.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from pydantic.alias_generators import to_camel

from dimse_mesh.operator.encryption import Encryption
from dimse_mesh.operator.fields import (
    AeTitle,
    Cidr,
    HostName,
    NatsAddress,
    ObjectName,
    Port,
    ResourceModel,
    Token,
    refused_by,
)
from dimse_mesh.operator.peers import LISTENER_PORT, ListenerSpec, PeerTls, RemoteAeSpec
from dimse_mesh.operator.routes import RouteSpec
from dimse_mesh.operator.sections import InCamelCase
from dimse_mesh.operator.workload import Scaler, Service, Services
from dimse_mesh.runtime.settings_durable import DeliverySettings, SpoolSettings

GROUP = "imaging-ingestion.alvearie.org"
VERSION = "v1alpha1"
KIND = "DimseProxy"
PLURAL = "dimseproxies"


class PullPolicy(StrEnum):
    """When a node pulls the image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class LocalObject(ResourceModel):
    """A reference to an object in the same namespace."""

    name: ObjectName = Field(description="Name of the object.")


class Proxy(ResourceModel):
    """The image of the services."""

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Image of the services. Default: the operator's own image.",
    )
    live_update: bool = Field(
        default=False,
        description="Let a development tool (Tilt) write into the containers. Never in production.",
    )


class NatsTlsSpec(ResourceModel):
    """TLS towards NATS; used when natsSecure is true."""

    ca_secret: ObjectName | None = Field(
        default=None, description="Secret with `ca.crt`: the authority of the server. Absent: the system's."
    )
    cert_secret: ObjectName | None = Field(
        default=None, description="Secret of type kubernetes.io/tls: the client's certificate."
    )
    server_name: HostName | None = Field(
        default=None, description="Name expected in the server's certificate. Default: the host of natsUrl."
    )
    handshake_first: bool = Field(default=False, description="Start TLS before the server's INFO.")


class ServiceType(StrEnum):
    """How the listener is exposed."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class Exposure(ResourceModel):
    """The Service in front of the listeners. From outside it keeps the client's address."""

    type: ServiceType = Field(default=ServiceType.CLUSTER_IP, description="Type of the Service.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations of the Service.")
    source_ranges: list[Cidr] = Field(
        default_factory=list,
        max_length=256,
        description="CIDRs that may connect (LoadBalancer and NetworkPolicy).",
    )


class Observability(ResourceModel):
    """Health, metrics, traces, logs."""

    http_port: Port = Field(default=9090, description="Port of /livez, /readyz, /metrics.")
    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="OTLP/HTTP endpoint for traces. Absent: no traces are exported.",
    )
    log_level: str = Field(
        default="info", pattern=r"^(debug|info|warning|error)$", description="debug, info, warning, error."
    )
    prometheus_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Prometheus that KEDA asks. Needed where `scaler: keda` is used.",
    )


class NetworkRules(ResourceModel):
    """NetworkPolicy for the services."""

    enabled: bool = Field(default=True, description="Create a NetworkPolicy per service.")
    restrict_egress: bool = Field(
        default=False,
        description="Let pods reach nothing but DNS, NATS, remote AEs and the OTLP endpoint, by port. Most "
        "networks compare the port of the pod behind a Service: use it where that is the same.",
    )


_HTTP_PORT = "(has(self.observability) ? self.observability.httpPort : 9090)"
_SCALED_BY_KEDA = " || ".join(
    f"(has(self.services.{to_camel(name)}) && has(self.services.{to_camel(name)}.autoscaling)"
    f" && self.services.{to_camel(name)}.autoscaling.scaler == 'keda')"
    for name, field in Services.model_fields.items()
    if field.annotation is Service
)


IDENTITIES = "natsTokenSecret, natsCredentialsSecret, natsNkeySecret, natsKeysSecret, natsUserSecret"
"""The fields that say who the zone is for NATS."""


class DimseProxySpec(ResourceModel):
    """What a zone should be."""

    # As `_consistent` below.
    model_config = refused_by(
        (
            "has(self.applicationEntityTitle) == has(self.targetDimseHost)"
            " && has(self.targetDimseHost) == has(self.targetDimsePort)",
            "applicationEntityTitle, targetDimseHost and targetDimsePort go together",
        ),
        ("!has(self.targetTls) || has(self.targetDimseHost)", "targetTls needs targetDimseHost"),
        ("!has(self.natsTls) || self.natsSecure", "natsTls needs natsSecure: true"),
        (
            "[has(self.natsTokenSecret), has(self.natsCredentialsSecret), has(self.natsNkeySecret),"
            " has(self.natsKeysSecret), has(self.natsUserSecret)].filter(given, given).size() <= 1",
            f"give at most one of {IDENTITIES}",
        ),
        (
            "!has(self.listeners) || self.listeners.all(one,"
            " self.listeners.filter(other, other.port == one.port).size() == 1)",
            "two listeners have the same port",
        ),
        (
            f"has(self.listeners) ? !self.listeners.exists(one, one.port == {_HTTP_PORT})"
            f" : {_HTTP_PORT} != {LISTENER_PORT}",
            "observability.httpPort is the port of a listener",
        ),
        (
            "(has(self.remoteAEs) ? self.remoteAEs.filter(one, one.default).size() : 0)"
            " + (has(self.targetDimseHost) ? 1 : 0) <= 1",
            "more than one default target: the target is one already",
        ),
        (
            "(has(self.observability) && has(self.observability.prometheusUrl))"
            f" || !has(self.services) || !({_SCALED_BY_KEDA})",
            "scaler keda needs observability.prometheusUrl",
        ),
        (
            "!has(self.delivery) || has(self.targetDimseHost)"
            " || (has(self.remoteAEs) && self.remoteAEs.size() > 0)"
            " || (has(self.settings) && (has(self.settings.scu) || has(self.settings.routes)))",
            "delivery needs an AE to deliver to: targetDimseHost or remoteAEs; or hooks in settings.routes",
        ),
    )

    application_entity_title: AeTitle | None = Field(
        default=None, description="AE title of the target at targetDimseHost:targetDimsePort."
    )
    target_dimse_host: HostName | None = Field(default=None, description="Host of the target.")
    target_dimse_port: Port | None = Field(default=None, description="DICOM port of the target.")
    nats_url: NatsAddress = Field(
        description="NATS as `host:port`, without a scheme; several are separated by commas.",
    )
    nats_secure: bool = Field(default=False, description="TLS to NATS, with verification.")
    nats_allow_plaintext: bool = Field(
        default=False,
        description="Without natsSecure: NATS beyond the pod all the same. Who is on the line reads data sets.",
    )
    nats_token_secret: ObjectName | None = Field(
        default=None, description="Secret whose key `token` holds the NATS token."
    )
    nats_subject_root: str = Field(
        default="DIMSE",
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$",
        description="First token(s) of every subject.",
    )
    nats_subject_channel: Token = Field(
        default="A",
        description="Name of this zone. What arrives at A goes to B's target, and the other way round.",
    )
    image_pull_policy: PullPolicy = Field(
        default=PullPolicy.IF_NOT_PRESENT, description="When to pull the image."
    )
    image_pull_secrets: list[LocalObject] = Field(
        default_factory=list, max_length=16, description="Secrets for the image registry."
    )
    proxy: Proxy = Field(default_factory=Proxy, description="The image.")

    peer_channel: Token | None = Field(
        default=None,
        description="Zone that gets what arrives here. Default: B for A, A for B, none for other names.",
    )
    listeners: list[ListenerSpec] = Field(
        default_factory=lambda: [ListenerSpec()],
        min_length=1,
        max_length=16,
        description="DICOM ports of this zone.",
    )
    routes: list[RouteSpec] = Field(
        default_factory=list,
        max_length=256,
        description="Rules that come before the peer channel; first match wins.",
    )
    spool: Annotated[SpoolSettings, InCamelCase] | None = Field(
        default=None, description="Where the objects of durable routes are kept, as in a zone's file."
    )
    delivery: Annotated[DeliverySettings, InCamelCase] | None = Field(
        default=None,
        description="Deliver to this zone's AEs what durable routes of any zone have acknowledged for them, as in "
        "a zone's file. Absent: this zone runs no delivery service. `{}` is enough to have one.",
    )
    encryption: Encryption | None = Field(
        default=None,
        description="Encrypt data sets from zone to zone. Absent: this zone has no keys.",
    )
    remote_aes: list[RemoteAeSpec] = Field(
        default_factory=list, alias="remoteAEs", max_length=256, description="More AEs that this zone serves."
    )
    target_tls: PeerTls | None = Field(default=None, description="DICOM TLS towards the target.")
    target_from_zones: list[Token] | None = Field(
        default=None,
        max_length=256,
        description="Zones whose clients may associate with the target. Absent: all.",
    )
    nats_tls: NatsTlsSpec | None = Field(default=None, description="Certificates for natsSecure.")
    nats_credentials_secret: ObjectName | None = Field(
        default=None, description="Secret whose key `credentials` is a NATS credentials file (JWT and seed)."
    )
    nats_nkey_secret: ObjectName | None = Field(
        default=None, description="Secret whose key `seed` is an nkey seed."
    )
    nats_keys_secret: ObjectName | None = Field(
        default=None,
        description="Secret that holds an nkey seed for each role of the zone, under the names that `dimse-mesh "
        "nats-config` gives their files: `association.nk`, `store.nk`, ... Each pod gets its own alone.",
    )
    nats_user_secret: ObjectName | None = Field(
        default=None, description="Secret of type kubernetes.io/basic-auth: `username`, `password` for NATS."
    )
    services: Services = Field(default_factory=Services, description="How each service runs.")
    exposure: Exposure = Field(default_factory=Exposure, description="The Service in front of the listeners.")
    observability: Observability = Field(
        default_factory=Observability, description="Health, metrics, traces, logs."
    )
    network_policy: NetworkRules = Field(default_factory=NetworkRules, description="Who may talk to whom.")
    drain_seconds: int = Field(
        default=300, ge=1, le=86400, description="How long open associations may go on when a pod is stopped."
    )
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="More settings, as in a zone's configuration file; they win over the other fields.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        target = (self.application_entity_title, self.target_dimse_host, self.target_dimse_port)
        if any(part is not None for part in target) and None in target:
            raise ValueError("applicationEntityTitle, targetDimseHost and targetDimsePort go together")
        if self.target_tls is not None and self.target_dimse_host is None:
            raise ValueError("targetTls needs targetDimseHost")
        identities = (
            self.nats_token_secret,
            self.nats_credentials_secret,
            self.nats_nkey_secret,
            self.nats_keys_secret,
            self.nats_user_secret,
        )
        if sum(identity is not None for identity in identities) > 1:
            raise ValueError(f"give at most one of {IDENTITIES}")
        if self.nats_tls is not None and not self.nats_secure:
            raise ValueError("natsTls needs natsSecure: true")
        ports = [listener.port for listener in self.listeners]
        if len(set(ports)) != len(ports):
            raise ValueError("two listeners have the same port")
        if self.observability.http_port in ports:
            raise ValueError("observability.httpPort is the port of a listener")
        defaults = sum(remote.default for remote in self.remote_aes) + (self.target_dimse_host is not None)
        if defaults > 1:
            raise ValueError("more than one default target: the target is one already")
        scaled = [getattr(self.services, name).autoscaling for name in Services.model_fields]
        if (
            any(one and one.scaler is Scaler.KEDA for one in scaled)
            and self.observability.prometheus_url is None
        ):
            raise ValueError("scaler keda needs observability.prometheusUrl")
        if self.delivery is not None and not (
            self.target_dimse_host or self.remote_aes or {"scu", "routes"} & set(self.settings)
        ):
            raise ValueError(
                "delivery needs an AE to deliver to: targetDimseHost or remoteAEs; or hooks in settings.routes"
            )
        return self

    @property
    def peer(self) -> str | None:
        """The zone that gets what no route takes, or None when the called AE title itself is the address."""
        return self.peer_channel or {"A": "B", "B": "A"}.get(self.nats_subject_channel)
