"""Settings of durable delivery: the spool in the source zone, and the deliveries of the destination's zone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from dimse_mesh.runtime.settings_fields import (
    AeTitle,
    Count,
    Seconds,
    SettingsModel,
    Token,
)
from dimse_mesh.runtime.settings_hooks import HooksSettings
from dimse_mesh.runtime.settings_pace import DeliveryAssociations, PaceSettings
from dimse_mesh.runtime.settings_retry import RetrySettings

KIB = 1024
MIB = KIB * KIB
GIB = KIB * MIB


class HighWaterSettings(SettingsModel):
    """When clients of durable routes are refused, before there is no room at all."""

    spool_share: float = Field(
        default=0.95,
        gt=0,
        le=1,
        description="share of spool.max_bytes above which clients are refused (A700H); 1: never",
    )
    disk_share: float = Field(
        default=0.95,
        gt=0,
        le=1,
        description="share of the disk of spool.store_dir above which clients are refused (A700H); 1: never",
    )
    margin: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="how far below the shares what is kept must fall before clients are served again",
    )

    @model_validator(mode="after")
    def _can_fall_so_far(self) -> Self:
        for name, share in (("spool_share", self.spool_share), ("disk_share", self.disk_share)):
            if share < 1 and self.margin >= share:  # else even an empty one would be refused
                raise ValueError(f"margin: less than {name} ({share:g})")
        return self


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("1, 3 or 5: an even number of copies survives the loss of no more servers")
    return value


class SpoolSettings(SettingsModel):
    """Where the objects of this zone's durable routes are kept until their destinations have them (JetStream)."""

    domain: Token | None = Field(
        default=None, description="JetStream domain of this zone's nats-servers; none: they have none"
    )
    max_bytes: int = Field(
        default=10 * GIB,
        ge=MIB,
        description="bytes kept for each destination; above that clients are told: out of resources (A700H)",
    )
    high_water: HighWaterSettings = Field(
        default_factory=HighWaterSettings, description="when clients are refused because of what is kept"
    )
    store_dir: Path | None = Field(
        default=None,
        description="folder of nats-server's store, where that is on this machine: its disk is watched; "
        "`up --nats-port` sets it",
    )
    replicas: Annotated[int, AfterValidator(_odd)] = Field(
        default=1, ge=1, le=5, description="nats-servers that keep each object: 1, 3 or 5"
    )
    chunk_size: int = Field(
        default=960 * KIB,
        ge=4 * KIB,
        le=32 * MIB,
        multiple_of=2,
        description="bytes of a data set per stored message; less, where nats-server's max_payload is",
    )
    inline_limit: int = Field(
        default=640 * KIB,
        ge=0,
        le=32 * MIB,
        description="bytes: a data set up to this, and up to chunk_size, is stored in one message with its manifest: "
        "less work, but who looks through a queue reads it, too; less, where nats-server's max_payload isn't a third "
        "more",
    )
    window: int = Field(
        default=8 * MIB,
        ge=MIB,
        le=GIB,
        description="bytes of an association that may wait for the disk; then its client is not read",
    )
    deadline: Seconds = Field(
        default=30.0,
        description="seconds that an outage of NATS may last before an object is refused (A700H)",
    )
    ask_timeout: Seconds = Field(
        default=2.0,
        description="seconds that a client waits while its destination is asked what it accepts; then it is guessed",
    )
    ask_again: Seconds = Field(
        default=3600.0, description="seconds after which a destination is asked again what it accepts"
    )
    look_interval: Seconds = Field(
        default=10.0, description="seconds between looks at how much waits, for metrics"
    )
    commitment_age: Seconds = Field(
        default=7 * 86400.0,
        ge=300,
        description="seconds that deliveries are remembered for storage commitment, and that a report is tried",
    )
    origin_days: int = Field(
        default=90,
        ge=1,
        le=3650,
        description="days that it is remembered which zone a study came from, for routes by origin",
    )
    sweep_interval: Seconds = Field(
        default=300.0,
        description="seconds between looks for pieces that no manifest tells of; two in a row, and they go; at least "
        "association.stalled_read_timeout and spool.deadline together",
    )


class TranscodingSettings(SettingsModel):
    """The process that changes transfer syntaxes, only where nothing is lost by it."""

    memory: int = Field(
        default=2 * GIB, ge=256 * MIB, le=64 * GIB, description="bytes of address space that it may have"
    )
    deadline: Seconds = Field(default=60.0, description="seconds for one object")
    max_bytes: int = Field(
        default=256 * MIB,
        ge=MIB,
        le=16 * GIB,
        description="bytes of a data set that is changed; a larger one is a dead letter",
    )


class DestinationCommitmentSettings(SettingsModel):
    """How destinations are asked for their own storage commitment (routes with `commitment: target`)."""

    ae_title: AeTitle = Field(
        default="DIMSE-MESH",
        description="AE title that asks, and that a destination calls to report: at a listener of this zone",
    )
    linger: Seconds = Field(
        default=10.0, description="seconds that a report is awaited on the association that has asked"
    )
    ask_again: Seconds = Field(
        default=3600.0, description="seconds without a report after which a destination is asked again"
    )
    timeout: Seconds = Field(
        default=86400.0,
        description="seconds without a report after which the instances count as not committed",
    )


class DeliverySettings(SettingsModel):
    """The service that takes objects out of the spools and sends them to this zone's AEs."""

    domains: tuple[Token | None, ...] = Field(
        default=(None,),
        min_length=1,
        description="JetStream domains of the source zones; null: that of the nats-server of this zone",
    )
    retry: RetrySettings = Field(
        default_factory=RetrySettings, description="when to try again; for one AE: pace[].retry"
    )
    max_associations: DeliveryAssociations = Field(
        default=1,
        description="associations with a destination at once, for each of its queues; a study is sent on one of them, "
        "so with more than 1 its order is kept, and that of the queue isn't; for one AE: pace[].max_associations. No "
        "more than scu.remote_aes[].max_associations",
    )
    look_interval: Seconds = Field(
        default=2.0, description="seconds between looks for new spools, and into one that seems empty"
    )
    idle_time: Seconds = Field(
        default=5.0, description="seconds that an association is kept when its queue is empty"
    )
    response_timeout: Seconds = Field(
        default=60.0, description="seconds for the destination's response to an object"
    )
    read_ahead: int = Field(
        default=16 * MIB, ge=MIB, le=GIB, description="bytes read from a spool ahead of what is being sent"
    )
    max_ahead: Count = Field(default=64, description="objects read ahead, at most")
    pace: tuple[PaceSettings, ...] = Field(
        default=(),
        description="AEs of this zone that are not sent everything at once: when, how fast, and how often again",
    )
    hooks: HooksSettings = Field(
        default_factory=HooksSettings, description="the process that applies the hooks of this zone's routes"
    )
    transcoding: TranscodingSettings = Field(
        default_factory=TranscodingSettings,
        description="what is done where a destination no longer takes the transfer syntax of an object",
    )
    commitment: DestinationCommitmentSettings = Field(
        default_factory=DestinationCommitmentSettings,
        description="how destinations are asked for their own storage commitment",
    )
    drain_timeout: Seconds = Field(
        default=10.0, description="seconds that the object being sent gets when the service stops"
    )
