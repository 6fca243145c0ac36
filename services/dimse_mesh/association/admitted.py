"""A client that was let in, and where its association goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from dimse_mesh.association.acceptor import Acceptor
from dimse_mesh.upper_layer import AssociateRQ


class Lead(Enum):
    """Where the association of a client goes."""

    ROUTED = auto()
    """Where its route says."""
    LIVE = auto()
    """The same, but to the destination itself where the route is durable; asked by a command, or beside a durable
    association that was let in."""
    DIRECT = auto()
    """To its called AE title, whatever the routes and the policy at the door say: it is a call of our own."""


@dataclass(frozen=True, slots=True)
class AdmittedClient:
    """A client whose A-ASSOCIATE-RQ was let in.

    Attributes:
        pdu: the request as it came.
        leave: counts it out.
    """

    acceptor: Acceptor
    request: AssociateRQ
    pdu: bytes
    lead: Lead
    leave: Callable[[], None]
