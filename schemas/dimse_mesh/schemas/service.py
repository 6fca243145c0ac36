"""What an instance says about itself: names of services, heartbeats, obituaries.

Who says it stands in the subject (`addresses.sender_of`), never in the message.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from dimse_mesh.schemas.version import VERSION

MOST_AES = 1024
"""AEs that a heartbeat tells of, at most."""
MOST_DEATHS = 64
"""Deaths that a heartbeat repeats, at most."""

Instance = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""The id of an instance, as in `addresses.InstanceAddress`."""
AeTitle = Annotated[str, Field(max_length=16)]
Channel = Annotated[int, Field(ge=0, le=0xFFFF_FFFF)]
Position = Annotated[int, Field(ge=0, le=0xFFFF_FFFF_FFFF_FFFF)]


class WireModel(BaseModel):
    """Base of every message: immutable. Unknown fields are ignored: a newer minor version may have added them."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ServiceName(StrEnum):
    """The services. The value is the role in an address; a handler's is its queue group and subject token, too."""

    ASSOCIATION = "association"
    STORE = "store"
    QUERY_RETRIEVE = "query_retrieve"
    N_SERVICE = "n_service"
    SCU = "scu"
    DELIVERY = "delivery"


OPERATIONS: Final = {
    ServiceName.STORE: frozenset(("C-STORE",)),
    ServiceName.QUERY_RETRIEVE: frozenset(("C-FIND", "C-MOVE", "C-GET", "C-CANCEL")),
    ServiceName.N_SERVICE: frozenset(
        ("N-EVENT-REPORT", "N-GET", "N-SET", "N-ACTION", "N-CREATE", "N-DELETE")
    ),
}
"""The DIMSE services on which each handler decides. C-ECHO proves the path, and has none."""
HANDLERS = tuple(OPERATIONS)
"""The services that decide on operations."""


class Dead(WireModel):
    """An instance of the sender's own zone that is gone."""

    role: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    instance: Instance


class Heartbeat(WireModel):
    """Sent by every instance on `live`, every `liveness.interval`."""

    server_id: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9]*$")] = Field(
        description="the nats-server that the instance's control connection is on"
    )
    speaks: Annotated[str, Field(pattern=r"^[0-9]{1,2}\.[0-9]{1,2}$")] = Field(
        default=str(VERSION), description="the protocol version that it sends"
    )
    draining: bool = False
    associations: Annotated[
        dict[AeTitle, Annotated[int, Field(ge=0, le=0xFFFF_FFFF)]], Field(max_length=MOST_AES)
    ] = Field(default_factory=dict, description="open associations by remote AE that it serves")
    serves_zone: bool = Field(
        default=False, description="it opens associations with its zone's default target, too"
    )
    dead: Annotated[tuple[Dead, ...], Field(max_length=MOST_DEATHS)] = Field(
        default=(),
        description="instances of its zone that died lately: an obituary may have found nobody at home",
    )


class Obituary(WireModel):
    """Sent on `dead` by whoever knows that an instance of its zone is gone: its supervisor, a witness, or itself."""

    dead: Dead
