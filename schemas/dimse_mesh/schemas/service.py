"""What an instance says about itself: names of services, heartbeats, obituaries."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class WireModel(BaseModel):
    """Base of every message: immutable, and unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServiceName(StrEnum):
    """The five services. The value is the queue group and the last subject token."""

    ASSOCIATION = "association"
    STORE = "store"
    QUERY_RETRIEVE = "query_retrieve"
    N_SERVICE = "n_service"
    SCU = "scu"


class Heartbeat(WireModel):
    """Sent by every instance on `live`, every `liveness.interval`."""

    instance: str
    zone: str
    service: ServiceName
    server_id: str = Field(description="the nats-server that the instance's control connection is on")
    draining: bool = False
    associations: dict[str, int] = Field(
        default_factory=dict, description="open associations by remote AE that it serves"
    )
    serves_zone: bool = Field(
        default=False, description="it opens associations with its zone's default target, too"
    )
    dead: tuple[str, ...] = Field(
        default=(), description="instances that died lately: an obituary may have found nobody at home"
    )


class Obituary(WireModel):
    """Sent on `dead` by whoever knows that `instance` is gone: its supervisor, or a witness on its server."""

    instance: str
    witness: str
