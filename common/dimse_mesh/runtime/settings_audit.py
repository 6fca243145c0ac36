"""Settings of the audit trail: where it is kept, and which repository gets it."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from dimse_mesh.audit import SyslogProtocol
from dimse_mesh.runtime.settings_fields import Host, Port, Seconds, SettingsModel, TlsFile, pair_of_files


class RepositoryTlsSettings(SettingsModel):
    """TLS towards the repository. Its certificate is always checked."""

    ca: TlsFile | None = Field(default=None, description="PEM file: authorities to trust; none: the system's")
    cert: TlsFile | None = Field(default=None, description="PEM file: our certificate (mutual TLS)")
    key: TlsFile | None = Field(default=None, description="PEM file: its private key")
    server_name: str | None = Field(
        default=None, description="name to expect in its certificate; none: the host's"
    )

    @model_validator(mode="after")
    def _cert_with_key(self) -> Self:
        pair_of_files(self.cert, self.key)
        return self


class RepositorySettings(SettingsModel):
    """An audit record repository: syslog (RFC 5424)."""

    host: Host = Field(description="its name or address")
    port: Port = Field(default=6514, description="its port; UDP's usual one is 514")
    protocol: SyslogProtocol = Field(
        default=SyslogProtocol.TLS,
        description="tls (RFC 5425), or udp (RFC 5426): not encrypted, and may lose records",
    )
    tls: RepositoryTlsSettings = Field(
        default=RepositoryTlsSettings(), description="TLS towards the repository"
    )
    settled_after: Seconds = Field(
        default=30.0,
        description="seconds that the connection must have stood since a record was sent; if it is lost before, "
        "the record is sent again",
    )

    @model_validator(mode="after")
    def _tls_is_spoken(self) -> Self:
        if self.protocol is not SyslogProtocol.TLS and self.tls != RepositoryTlsSettings():
            raise ValueError(
                "tls: with protocol: udp nothing is encrypted; leave it out, or say protocol: tls"
            )
        return self


class AuditSettings(SettingsModel):
    """An audit trail of DICOM audit messages (PS3.15 A.5), kept in hash-chained files."""

    directory: Path = Field(
        description="folder of the trail's files; the zone's processes on a machine share it"
    )
    max_bytes: int = Field(
        default=256 << 20,
        ge=1 << 20,
        description="bytes that the files may take; then the oldest is removed, forwarded or not",
    )
    key: TlsFile | None = Field(
        default=None,
        description="file that holds the key of the hash chain, 32 bytes or more; none: a chain without a key",
    )
    site: str = Field(default="", max_length=64, description="AuditEnterpriseSiteID of all messages")
    repository: RepositorySettings | None = Field(
        default=None, description="syslog repository that gets each record; none: the files alone"
    )
    log: bool = Field(default=True, description="one line in the log for each record, too")
