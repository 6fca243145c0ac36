"""The parts of the custom resource that name DICOM peers: listeners for those that call, and remote AEs."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from dimse_mesh.operator.fields import AeTitle, HostName, ObjectName, Port, ResourceModel, Token, refused_by
from dimse_mesh.runtime.settings_fields import TlsProfile

LISTENER_PORT = 11112
"""The original product's listener Service port."""


class ListenerTlsSpec(ResourceModel):
    """DICOM TLS on a listener."""

    model_config = refused_by(
        ("!self.requireClientCert || has(self.caSecretName)", "requireClientCert needs caSecretName"),
    )

    secret_name: ObjectName = Field(description="Secret of type kubernetes.io/tls: `tls.crt`, `tls.key`.")
    ca_secret_name: ObjectName | None = Field(
        default=None,
        description="Secret with `ca.crt`: the authority whose client certificates are accepted.",
    )
    require_client_cert: bool = Field(default=False, description="Refuse a peer without a valid certificate.")
    profile: TlsProfile = Field(
        default=TlsProfile.BCP_195,
        description="bcp-195 (PS3.15 B.12), bcp-195-modified (B.13), or legacy: for old devices.",
    )

    @model_validator(mode="after")
    def _client_certificates_need_an_authority(self) -> Self:
        if self.require_client_cert and self.ca_secret_name is None:
            raise ValueError("requireClientCert needs caSecretName")
        return self


class ListenerSpec(ResourceModel):
    """One DICOM port of the zone's front-end."""

    port: Port = Field(default=LISTENER_PORT, description="Port of the Service and of the pods.")
    ae_titles: list[AeTitle] = Field(
        default_factory=list, max_length=256, description="Called AE titles accepted here. Empty: all."
    )
    tls: ListenerTlsSpec | None = Field(default=None, description="DICOM TLS. Absent: plain TCP.")


class PeerTls(ResourceModel):
    """DICOM TLS towards a remote AE."""

    ca_secret_name: ObjectName | None = Field(
        default=None,
        description="Secret with `ca.crt`: the authority of the AE's certificate. Absent: the system's.",
    )
    secret_name: ObjectName | None = Field(
        default=None, description="Secret of type kubernetes.io/tls: the certificate that the mesh presents."
    )
    server_name: HostName | None = Field(
        default=None, description="Name expected in the AE's certificate. Default: its host."
    )
    profile: TlsProfile = Field(
        default=TlsProfile.BCP_195,
        description="bcp-195 (PS3.15 B.12), bcp-195-modified (B.13), or legacy: for old devices.",
    )


class RemoteAeSpec(ResourceModel):
    """An AE that this zone serves to the whole mesh."""

    ae_title: AeTitle = Field(description="The AE title, which is its address in the mesh.")
    host: HostName = Field(description="Host name or address.")
    port: Port = Field(description="DICOM port.")
    called_ae: AeTitle | None = Field(
        default=None, alias="calledAE", description="Called AE title to present instead."
    )
    calling_ae: AeTitle | None = Field(
        default=None, alias="callingAE", description="Calling AE title to present instead."
    )
    tls: PeerTls | None = Field(default=None, description="DICOM TLS. Absent: plain TCP.")
    max_associations: int | None = Field(
        default=None, ge=1, le=10000, description="Associations at a time in the whole zone."
    )
    from_zones: list[Token] | None = Field(
        default=None, max_length=256, description="Zones whose clients may associate with it. Absent: all."
    )
    from_calling: list[Annotated[str, Field(min_length=1, max_length=64)]] | None = Field(
        default=None,
        max_length=256,
        description="Patterns of calling AE titles that may associate with it. Absent: all.",
    )
    default: bool = Field(default=False, description="The zone's default target.")
