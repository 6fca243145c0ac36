"""How to reach NATS: servers, credentials, TLS, and the bounds of a connection."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from dimse_mesh.schemas.addresses import Role

SEED_SUFFIX = ".nk"
_SCHEMES = ("nats", "tls", "ws", "wss")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _has_a_port_or_none(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


class NatsTls(BaseModel):
    """TLS towards nats-server. Without `ca` the system's certificate authorities are trusted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca: Path | None = Field(default=None, description="PEM file of the authorities to trust")
    cert: Path | None = Field(default=None, description="PEM file of our certificate (mutual TLS)")
    key: Path | None = Field(default=None, description="PEM file of our private key")
    handshake_first: bool = Field(
        default=False, description="TLS before INFO (the server must be set so too)"
    )
    server_name: str | None = Field(default=None, description="name to expect in the server's certificate")

    @model_validator(mode="after")
    def _cert_and_key_together(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("tls.cert and tls.key go together")
        return self


class NatsSettings(BaseModel):
    """Servers, one way to authenticate, TLS and bounds. Times are seconds, sizes are bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    servers: list[str] = Field(default_factory=lambda: ["nats://127.0.0.1:4222"], min_length=1)
    token: SecretStr | None = None
    token_file: Path | None = Field(default=None, description="read again at every connect")
    user: str | None = None
    password: SecretStr | None = None
    credentials: Path | None = Field(default=None, description=".creds file: JWT and nkey seed")
    nkey_seed: Path | None = Field(
        default=None, description="file that holds an nkey seed, or folder that holds one for each role"
    )
    tls: NatsTls | None = None
    allow_plaintext: bool = Field(
        default=False,
        description="nats:// and ws:// beyond this machine, too: who is on the line reads data sets and credentials",
    )

    connect_timeout: float = Field(default=5.0, gt=0, description="of one attempt at one server")
    reconnect_wait: float = Field(default=0.05, gt=0, description="before the first retry; doubles, jittered")
    reconnect_max_wait: float = Field(default=1.0, gt=0, description="where the wait between retries stops")
    ping_interval: float = Field(default=2.0, gt=0)
    max_outstanding_pings: int = Field(
        default=2, ge=1, description="unanswered pings before a link is given up"
    )
    drain_timeout: float = Field(default=5.0, gt=0)
    control_backlog: int = Field(
        default=16 << 20, gt=0, description="bytes accepted for the control connection, not yet sent"
    )
    bulk_backlog: int = Field(
        default=8 << 20, gt=0, description="bytes accepted for the bulk connection, not yet sent"
    )

    @field_validator("servers")
    @classmethod
    def _known_schemes(cls, servers: list[str]) -> list[str]:
        families = set()
        for server in servers:
            parts = urlsplit(server)
            if parts.scheme not in _SCHEMES or not parts.hostname or not _has_a_port_or_none(parts):
                raise ValueError("a NATS server is nats://, tls://, ws:// or wss:// followed by host[:port]")
            families.add(parts.scheme.startswith("ws"))
        if len(families) > 1:
            raise ValueError("websocket and TCP servers can't be mixed in nats.servers")
        return servers

    @model_validator(mode="after")
    def _encrypted_beyond_this_machine(self) -> Self:
        if not self.allow_plaintext and self.plaintext_hosts:
            raise ValueError(
                f"the way to {self.plaintext_hosts[0]} is not encrypted: use tls:// or wss://, or, where nobody"
                " else is on the line, nats.allow_plaintext: true"
            )
        return self

    @property
    def plaintext_hosts(self) -> list[str]:
        """The hosts beyond this machine that are reached without TLS."""
        return [
            urlsplit(server).hostname or ""
            for server in self.servers
            if not self.wants_tls(server) and not _is_loopback(urlsplit(server).hostname or "")
        ]

    def wants_tls(self, server: str) -> bool:
        """Whether the connection to `server` must be encrypted."""
        return server.startswith(("tls://", "wss://")) or (
            self.tls is not None and not server.startswith("ws://")
        )

    def of_role(self, role: Role) -> Self:
        """Return the settings of one role: where `nkey_seed` is a folder, `<role>.nk` in it."""
        if self.nkey_seed is None or not self.nkey_seed.is_dir():
            return self
        return self.model_copy(update={"nkey_seed": self.nkey_seed / f"{role.value}{SEED_SUFFIX}"})

    @model_validator(mode="after")
    def _one_way_to_authenticate(self) -> Self:
        ways = {
            "token": self.token,
            "token_file": self.token_file,
            "user": self.user,
            "credentials": self.credentials,
            "nkey_seed": self.nkey_seed,
        }
        chosen = [name for name, value in ways.items() if value is not None]
        if len(chosen) > 1:
            raise ValueError(f"choose one of nats.{', nats.'.join(chosen)}")
        if (self.user is None) != (self.password is None):
            raise ValueError("nats.user and nats.password go together")
        return self
