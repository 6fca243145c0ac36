"""Who is who on the bus: the address of an instance, and of one half of an association in it.

An instance's address is three tokens, `<zone>.<role>.<instance>`. They stand in every subject that reaches it, and at
the end of every subject that it publishes to, where nats-server's permissions make zone and role true.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, NamedTuple

from pydantic import Field

from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.tokens import decode_token, encode_token

_REMEMBERED = 4096
"""Addresses and subjects that are parsed once. The number of those in use is that of the live instances."""
_INSTANCE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_ZONE = 128

AddressText = Annotated[
    str, Field(max_length=256, pattern=r"^[A-Za-z0-9_%-]+\.[a-z_]+\.[A-Za-z0-9_-]{1,64}$")
]
"""An instance's address as in a subject: three tokens."""


class Role(StrEnum):
    """What an instance does: one of the services, or a tool beside them. The value is the subject token."""

    ASSOCIATION = "association"
    STORE = "store"
    QUERY_RETRIEVE = "query_retrieve"
    N_SERVICE = "n_service"
    SCU = "scu"
    DELIVERY = "delivery"
    SUPERVISOR = "supervisor"
    """`dimse-mesh up`: says which of its processes have died."""
    COMMAND = "command"
    """A command such as `dimse-mesh echo`: a front-end without a listener."""


FRONT_ENDS = frozenset((Role.ASSOCIATION, Role.COMMAND))
"""Roles that open associations on behalf of a client."""


class InstanceAddress(NamedTuple):
    """Where one process is reached, and as whom it sends."""

    zone: str
    role: Role
    instance: str
    """Random, never used twice."""

    @property
    def tokens(self) -> str:
        """The address as three subject tokens."""
        return _tokens_of(self)

    def __str__(self) -> str:
        return _tokens_of(self)

    @property
    def is_front_end(self) -> bool:
        """Whether it may open associations."""
        return self.role in FRONT_ENDS

    def is_handler_of(self, service: ServiceName | None, zone: str) -> bool:
        """Tell whether it may approve or refuse operations of `service` in `zone`."""
        return service is not None and self.role.value == service.value and self.zone == zone


class HalfAddress(NamedTuple):
    """One half of an association: the instance that holds it, and its channel (unsigned 32 bit) there."""

    instance: InstanceAddress
    channel: int


@lru_cache(_REMEMBERED)
def _tokens_of(address: InstanceAddress) -> str:
    return f"{encode_token(address.zone)}.{address.role.value}.{address.instance}"


@lru_cache(_REMEMBERED)
def parse_address(tokens: str) -> InstanceAddress | None:
    """Return the address that three subject tokens spell; None: they spell none that this version knows."""
    try:
        zone, role, instance = tokens.split(".")
        if _INSTANCE.fullmatch(instance) and len(zone) <= _LONGEST_ZONE:
            return InstanceAddress(decode_token(zone), Role(role), instance)
    except ValueError:
        pass
    return None


@lru_cache(_REMEMBERED)
def sender_of(subject: str) -> InstanceAddress | None:
    """Return who published to a subject: its last three tokens."""
    return parse_address(".".join(subject.split(".")[-3:]))
