"""Settings that both endpoints have towards their peers: clients here, targets there."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from dimse_mesh.runtime.settings_fields import (
    Count,
    CountOrUnlimited,
    PduLength,
    Seconds,
    SecondsOrOff,
    SettingsModel,
)

HandlerName = Literal["store", "query_retrieve", "n_service"]
"""A service that decides on operations."""


class PeerSettings(SettingsModel):
    """The limits and deadlines that an endpoint sets its peers."""

    hosted_handlers: tuple[HandlerName, ...] = Field(
        default=(),
        description="handlers of this zone that run in this process (store, query_retrieve, n_service): "
        "faster, but not scaled and not killed apart from it",
    )
    max_pdu_length: PduLength = Field(
        default=131072, description="bytes: the maximum PDU length advertised to peers (PS3.8 Annex D.1)"
    )
    least_peer_pdu_length: Count = Field(
        default=128,
        description="bytes: a peer whose own maximum PDU length is below this, and not 0, is aborted: "
        "what it is sent would cost more headers than data",
    )
    idle_timeout: SecondsOrOff = Field(
        default=0.0, description="seconds without traffic before A-ABORT; 0: off"
    )
    artim_timeout: Seconds = Field(
        default=30.0,
        description="seconds: the ARTIM timer (PS3.8 §9.1.5), which bounds the beginning and the end of a connection",
    )
    release_timeout: Seconds = Field(
        default=60.0,
        description="seconds that a peer which owes A-RELEASE-RP, and no response, may be silent",
    )
    stalled_read_timeout: Seconds = Field(
        default=60.0, description="seconds that a peer may pause in the middle of a message"
    )
    least_read_rate: CountOrUnlimited = Field(
        default=100,
        description="bytes a second that a peer in the middle of a message must move, over stalled_read_timeout, and "
        "that one must take of what waits for it, over stalled_write_timeout; 0: any",
    )
    max_operations: Count = Field(
        default=128,
        description="operations that a peer may have outstanding on one association, if it has not negotiated more; "
        "with so many it is not read",
    )
    stalled_write_timeout: Seconds = Field(
        default=60.0, description="seconds that a peer may refuse to read what is sent to it"
    )
    drain_timeout: Seconds = Field(
        default=30.0,
        description="seconds that associations get when the service stops; the last quarter only their operations",
    )

    @field_validator("hosted_handlers")
    @classmethod
    def _each_once(cls, names: tuple[HandlerName, ...]) -> tuple[HandlerName, ...]:
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} stands here twice")
        return names
