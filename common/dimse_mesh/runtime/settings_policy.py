"""Settings of the policy: who may associate, and who may ask for which operation."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv6Network, ip_address, ip_network
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from dimse_mesh.runtime.routing import DimseService
from dimse_mesh.runtime.settings_fields import AePattern, Port, SettingsModel


def _network(value: str) -> str:
    try:
        network = ip_network(value)
    except ValueError as error:
        raise ValueError(
            f"a network is an address with a prefix length, for example 10.1.0.0/16: {error}"
        ) from error
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < 96:
        return str(network)
    return f"{mapped}/{network.prefixlen - 96}"  # as the addresses that are compared with it


Network = Annotated[str, AfterValidator(_network)]
"""An IPv4 or IPv6 network, or one address."""


class Effect(StrEnum):
    """What a rule that matches leads to."""

    PERMIT = "permit"
    DENY = "deny"


class AskedBy(StrEnum):
    """Which peer of an association asks for an operation."""

    CLIENT = "client"
    TARGET = "target"


class CertificatePattern(SettingsModel):
    """Patterns for a verified TLS client certificate; each that is given must match."""

    subject: str | None = Field(
        default=None,
        description="pattern of the subject, as O=...,CN=... in the certificate's order, for example *,CN=ct1; "
        "in a value , + and the like have a \\ before them",
    )
    issuer: str | None = Field(default=None, description="pattern of the issuer, written like the subject")
    san: str | None = Field(default=None, description="pattern of any of its subject alternative names")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.subject is None and self.issuer is None and self.san is None:
            raise ValueError("a certificate pattern gives subject, issuer or san")
        return self


class AdmissionRule(SettingsModel):
    """Whether a peer may associate; a field that isn't given matches everything."""

    effect: Effect = Field(description="permit or deny")
    peers: tuple[Network, ...] | None = Field(
        default=None, description="networks of peer addresses, for example [10.1.0.0/16]"
    )
    listeners: tuple[Port, ...] | None = Field(default=None, description="ports of the listeners")
    certificate: CertificatePattern | None = Field(
        default=None, description="the verified TLS client certificate; a peer without one doesn't match"
    )
    user: str | None = Field(
        default=None,
        min_length=1,
        description="pattern of the user name in the User Identity item (PS3.7 D.3.3.7); a peer that names none "
        "doesn't match. On a live route the target checks whether it is true, on a durable one nobody does",
    )
    calling: AePattern = Field(default="*", description="pattern of calling AE titles: * ? [...]")
    called: AePattern = Field(default="*", description="pattern of called AE titles")

    def covers(self, host: str) -> bool:
        """Tell whether `host`, a numeric address, lies in one of the networks."""
        if self.peers is None:
            return True
        try:
            address = ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in ip_network(network) for network in self.peers)


class OperationRule(SettingsModel):
    """Whether an operation may be performed; a field that isn't given matches everything."""

    effect: Effect = Field(description="permit or deny")
    services: frozenset[DimseService] | None = Field(
        default=None, description="DIMSE services, for example [C-FIND, C-MOVE]"
    )
    asked_by: AskedBy | None = Field(
        default=None, description="client or target: the peer that asks; none: either"
    )
    calling: AePattern = Field(default="*", description="pattern of the association's calling AE titles")
    called: AePattern = Field(default="*", description="pattern of the association's called AE titles")


class PolicySettings(SettingsModel):
    """Rules of a zone. The first rule that matches decides; without one, routes and listeners do."""

    admission: tuple[AdmissionRule, ...] = Field(
        default=(), description="who may associate; first match wins, none: permitted"
    )
    operations: tuple[OperationRule, ...] = Field(
        default=(), description="which operations may be performed; first match wins, none: the route's allow"
    )
