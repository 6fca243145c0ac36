"""Settings of the SCU executor: the AEs that this zone serves to the whole mesh."""

from __future__ import annotations

from collections import Counter
from typing import Final, Self

from pydantic import Field, field_validator, model_validator

from dimse_mesh.runtime.settings_fields import (
    AePattern,
    AeTitle,
    Count,
    CountOrUnlimited,
    Host,
    Port,
    Seconds,
    SecondsOrOff,
    SettingsModel,
    TlsFile,
    TlsProfile,
    Token,
    pair_of_files,
)
from dimse_mesh.runtime.settings_peer import PeerSettings
from dimse_mesh.runtime.settings_storage import StorageSettings


class RemoteTls(SettingsModel):
    """TLS towards a target (PS3.15 Annex B)."""

    ca: TlsFile | None = Field(default=None, description="PEM file: authorities to trust; none: the system's")
    cert: TlsFile | None = Field(
        default=None, description="PEM file: our certificate chain, if the target wants one"
    )
    key: TlsFile | None = Field(default=None, description="PEM file: its private key")
    server_name: str | None = Field(
        default=None, description="name expected in the target's certificate; none: its host"
    )
    verify: bool = Field(default=True, description="check the target's certificate and name")

    profile: TlsProfile = Field(
        default=TlsProfile.BCP_195,
        description="bcp-195 (PS3.15 B.12), bcp-195-modified (B.13), or legacy: for old devices, with TLS 1.0 and CBC",
    )

    @model_validator(mode="after")
    def _cert_with_key(self) -> Self:
        pair_of_files(self.cert, self.key)
        return self


MOST_ASSOCIATIONS: Final = 1024
"""Associations with a target, where nobody has set its limit. From there on it is no count of licences."""


class RemoteAe(SettingsModel):
    """A target: an AE that executors of this zone can reach."""

    ae_title: AeTitle = Field(description="the AE title by which the mesh knows it")
    host: Host | None = Field(default=None, description="its host name or address")
    port: Port | None = Field(default=None, description="its TCP port, 1 to 65535")
    storage: StorageSettings | None = Field(
        default=None, description="a place that objects are stored in, instead of host and port"
    )
    called_ae: AeTitle | None = Field(
        default=None, description="called AE title to send instead of the client's"
    )
    calling_ae: AeTitle | None = Field(
        default=None, description="calling AE title to send instead of the client's"
    )
    tls: RemoteTls | None = Field(default=None, description="speak DICOM over TLS to it")
    default: bool = Field(default=False, description="what is sent to the zone as such goes to this AE")
    from_zones: tuple[Token, ...] | None = Field(
        default=None, description="zones whose clients may associate with it; none: all"
    )
    from_calling: tuple[AePattern, ...] | None = Field(
        default=None,
        description="patterns of calling AE titles that may associate with it, as the other zone sends them on; "
        "none: all",
    )
    max_associations: CountOrUnlimited = Field(
        default=MOST_ASSOCIATIONS,
        description="associations to it from the whole zone, or, from 1024 on, from each executor; "
        "more are rejected, transient; 0: no limit",
    )
    idle_timeout: SecondsOrOff | None = Field(
        default=None,
        description="seconds without traffic and without an operation under way before A-ABORT; 0: off; "
        "none: scu.idle_timeout, but 600 at most where max_associations is below 1024",
    )
    connect_timeout: Seconds = Field(default=10.0, description="seconds for TCP and TLS to stand")
    association_timeout: Seconds = Field(
        default=20.0, description="seconds from A-ASSOCIATE-RQ to its answer"
    )

    @model_validator(mode="after")
    def _peer_or_place(self) -> Self:
        if self.storage is None:
            if self.host is None or self.port is None:
                raise ValueError("give host and port, or storage")
        elif self.host is not None or self.port is not None or self.tls is not None:
            raise ValueError("an AE with storage has no host, port or tls")
        return self

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host and port; not for an AE that is a place."""
        assert self.host is not None
        assert self.port is not None
        return self.host, self.port

    @property
    def where(self) -> str:
        """Where it is, in words for people."""
        return f"{self.host}:{self.port}" if self.storage is None else self.storage.url


class ScuSettings(PeerSettings):
    """The executor that opens associations to targets."""

    remote_aes: tuple[RemoteAe, ...] = Field(
        default=(), description="the AEs that this zone serves to the whole mesh"
    )
    max_associations: Count = Field(
        default=4096, description="open associations per instance, over all targets"
    )
    attach_timeout: Seconds = Field(
        default=30.0,
        description="seconds that an open association waits for its front-end before it is aborted",
    )

    @field_validator("remote_aes")
    @classmethod
    def _titles_are_unique_and_one_default(cls, remote_aes: tuple[RemoteAe, ...]) -> tuple[RemoteAe, ...]:
        for title, times in Counter(remote.ae_title for remote in remote_aes).items():
            if times > 1:
                raise ValueError(f"AE title {title!r} stands here {times} times")
        defaults = [remote.ae_title for remote in remote_aes if remote.default]
        if len(defaults) > 1:
            raise ValueError(f"one AE may be the default, here are {len(defaults)}: {', '.join(defaults)}")
        return remote_aes

    @property
    def default_ae(self) -> RemoteAe | None:
        """The target of what is sent to the zone as such, if there is one."""
        return next((remote for remote in self.remote_aes if remote.default), None)
