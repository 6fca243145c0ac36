"""Settings of the association front-end: listeners, limits, deadlines."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Self

from pydantic import Field, field_validator, model_validator

from dimse_mesh.runtime.settings_fields import (
    AeTitle,
    Count,
    Host,
    ListenPort,
    Seconds,
    SecondsOrOff,
    SettingsModel,
    TlsFile,
    TlsProfile,
)
from dimse_mesh.runtime.settings_limits import AssociationLimits
from dimse_mesh.runtime.settings_peer import PeerSettings

_ANY_HOST = frozenset({"0.0.0.0", "::", "*"})


class ListenerTls(SettingsModel):
    """TLS on a listener (PS3.15 Annex B)."""

    cert: TlsFile = Field(description="PEM file: the server's certificate chain")
    key: TlsFile = Field(description="PEM file: its private key")
    ca: TlsFile | None = Field(
        default=None, description="PEM file: authorities that client certificates are checked against"
    )
    require_client_cert: bool = Field(
        default=False, description="refuse clients without a certificate; needs ca"
    )

    profile: TlsProfile = Field(
        default=TlsProfile.BCP_195,
        description="bcp-195 (PS3.15 B.12), bcp-195-modified (B.13), or legacy: for old devices, with TLS 1.0 and CBC",
    )

    @model_validator(mode="after")
    def _client_certificates_need_an_authority(self) -> Self:
        if self.require_client_cert and self.ca is None:
            raise ValueError(
                "require_client_cert needs ca: the authorities that clients' certificates come from"
            )
        return self


class Listener(SettingsModel):
    """One address on which DICOM peers connect."""

    host: Host = Field(default="127.0.0.1", description="address to listen on")
    port: ListenPort = Field(description="TCP port, 0 to 65535; 0: any free one")
    tls: ListenerTls | None = Field(default=None, description="speak DICOM over TLS here")
    ae_titles: tuple[AeTitle, ...] | None = Field(
        default=None, description="called AE titles that may be asked for here; none: all"
    )

    @field_validator("ae_titles")
    @classmethod
    def _no_duplicate_titles(cls, titles: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for title, times in Counter(titles or ()).items():
            if times > 1:
                raise ValueError(f"AE title {title!r} stands here {times} times")
        return titles

    def collides_with(self, other: Listener) -> bool:
        """Tell whether one machine can't listen for both."""
        same_host = self.host == other.host or bool(_ANY_HOST & {self.host, other.host})
        return self.port != 0 and self.port == other.port and same_host


class AssociationSettings(PeerSettings):
    """The front-end that hospital systems connect to."""

    listeners: tuple[Listener, ...] = Field(default=(), description="addresses to listen on")
    reuse_port: bool = Field(
        default=False, description="SO_REUSEPORT: several front-end instances share the listeners' ports"
    )
    calling_ae_titles: tuple[AeTitle, ...] | None = Field(
        default=None, description="calling AE titles that are let in; none: all"
    )
    max_associations: Count = Field(
        default=4096, description="open associations per instance; more are rejected, transient"
    )
    limits: AssociationLimits = Field(
        default=AssociationLimits(),
        description="what one address, one AE title, and all who aren't let in may take",
    )
    open_timeout: Seconds = Field(
        default=30.0,
        description="seconds from A-ASSOCIATE-RQ to the target's answer; then a transient reject",
    )
    operation_timeout: SecondsOrOff = Field(
        default=600.0,
        description="seconds without any response before an operation that a client asked for fails; 0: off",
    )

    @field_validator("listeners")
    @classmethod
    def _no_duplicate_addresses(cls, listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
        for listener, other in combinations(listeners, 2):
            if listener.collides_with(other):
                raise ValueError(f"port {listener.port} stands in two listeners")
        return listeners
