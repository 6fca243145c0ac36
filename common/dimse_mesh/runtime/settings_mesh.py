"""Settings of what runs over NATS: streams with credit."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from dimse_mesh.runtime.settings_fields import Seconds, SettingsModel

KIB = 1024


class MeshSettings(SettingsModel):
    """Streams: window, chunks, retransmission (docs/architecture.md, "An association: two ordered directions")."""

    first_connect_timeout: Seconds = Field(
        default=10.0, description="seconds that a service that starts waits for NATS; then it gives up"
    )
    window: int = Field(
        default=8 * KIB * KIB,
        ge=256 * KIB,
        le=1024 * KIB * KIB,
        description="bytes in flight per direction of an association",
    )
    largest_window: int = Field(
        default=48 * KIB * KIB,
        ge=256 * KIB,
        le=1024 * KIB * KIB,
        description="bytes to which that grows where the round trip between two instances is long; "
        "at window or below it: never",
    )
    chunk_size: int = Field(
        default=640 * KIB,
        ge=4 * KIB,
        le=1020 * KIB,
        description="bytes of a data set per message at most; less over a thin line, and half of window at most",
    )
    inline_limit: int = Field(
        default=32 * KIB, ge=0, le=512 * KIB, description="bytes: a data set up to this rides in its request"
    )
    retransmit_timeout: Seconds = Field(
        default=1.0, description="seconds without progress before the receiver is asked"
    )
    deadline: Seconds = Field(
        default=30.0, description="seconds that an outage of the mesh may last before operations fail"
    )
    ack_delay: Seconds = Field(
        default=0.1, description="seconds after the last consumption that an ack is held back"
    )
    max_buffered: int = Field(
        default=512 * KIB * KIB,
        ge=1024 * KIB,
        description="bytes of all associations that an instance has sent and their peers have not taken; above it each "
        "association is held to 256 KiB; memory may be a quarter more",
    )

    @model_validator(mode="after")
    def _window_holds_chunks(self) -> Self:
        chunk_size = self.chunk_size if "chunk_size" in self.model_fields_set else 0
        if self.window < 2 * max(chunk_size, self.inline_limit):
            raise ValueError("window: at least twice chunk_size and inline_limit")
        return self
