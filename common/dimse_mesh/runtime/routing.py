"""Routes: where an association goes, how it is delivered, what it may do. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from dimse_mesh.runtime.settings_encryption import RouteEncryption
from dimse_mesh.runtime.settings_fields import AePattern, AeTitle, SettingsModel, Token
from dimse_mesh.runtime.settings_hooks import Hook
from dimse_mesh.schemas.spool_subjects import RoutePriority


class Delivery(StrEnum):
    """The delivery contract of a route."""

    LIVE = "live"
    """The client gets the target's own status."""
    DURABLE = "durable"
    """The client gets success when its object is on disk in this zone (docs/delivery.md)."""


class CommitmentMode(StrEnum):
    """When a durable route says that instances are safe (storage commitment, PS3.4 Annex J)."""

    NONE = "none"
    """Never: the service is not offered."""
    DELIVERED = "delivered"
    """When their destinations have answered their C-STORE with success."""
    TARGET = "target"
    """When their destinations, asked for their own storage commitment, have said so too."""


class DimseService(StrEnum):
    """The DIMSE services (PS3.7 §7.5, §10), by the names that a route's `allow` uses."""

    C_ECHO = "C-ECHO"
    C_STORE = "C-STORE"
    C_FIND = "C-FIND"
    C_MOVE = "C-MOVE"
    C_GET = "C-GET"
    N_EVENT_REPORT = "N-EVENT-REPORT"
    N_GET = "N-GET"
    N_SET = "N-SET"
    N_ACTION = "N-ACTION"
    N_CREATE = "N-CREATE"
    N_DELETE = "N-DELETE"


class Destination(SettingsModel):
    """An AE title anywhere in the mesh, or a zone: whatever that zone calls its default target."""

    ae: AeTitle | None = Field(default=None, description="AE title that some zone serves")
    zone: Token | None = Field(default=None, description="zone whose default target is meant")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.ae is None) == (self.zone is None):
            raise ValueError("a destination is either {ae: TITLE} or {zone: NAME}")
        return self


class Accepts(SettingsModel):
    """Presentation contexts that a destination of a durable route accepts."""

    sop_class: str = Field(
        default="*",
        pattern=r"^[0-9.*?]{1,64}$",
        description="SOP class UID, or a pattern of UIDs with * or ?",
    )
    transfer_syntaxes: tuple[Annotated[str, Field(pattern=r"^[0-9.]{1,64}$")], ...] = Field(
        min_length=1, description="transfer syntax UIDs"
    )


class Route(SettingsModel):
    """Where associations with matching called and calling AE titles go, and how."""

    called: AePattern = Field(
        default="*", description="pattern of called AE titles: * ? [...], case-sensitive"
    )
    calling: AePattern = Field(default="*", description="pattern of calling AE titles")
    to: Destination | None = Field(
        default=None, description="{ae: TITLE} or {zone: NAME}; none: the called AE title itself"
    )
    also: tuple[Destination, ...] = Field(
        default=(), description="durable: more destinations of each object; `to` may be a list of all instead"
    )
    by_origin: Mapping[Token, Destination] = Field(
        default_factory=dict,
        description="durable: destination of objects whose study has come from that zone, {ZONE: {ae: TITLE}}; `to` "
        "gets those of other studies (docs/delivery.md)",
    )
    delivery: Delivery = Field(
        default=Delivery.LIVE,
        description="live: the client gets the target's own status; durable: C-STORE succeeds when it is on disk here",
    )
    accepts: tuple[Accepts, ...] | None = Field(
        default=None,
        description="durable: what the destination accepts; none: what it has said, or a guess until then",
    )
    hooks: tuple[Hook, ...] = Field(
        default=(),
        description="durable: what is changed in each object before its destinations get it (docs/hooks.md)",
    )
    commitment: CommitmentMode = Field(
        default=CommitmentMode.DELIVERED,
        description="durable: storage commitment is reported when the destinations have answered C-STORE (delivered), "
        "or have confirmed it by their own storage commitment (target); none: not offered",
    )
    priority: RoutePriority = Field(
        default=RoutePriority.MEDIUM,
        description="durable: which objects a destination gets first: those of routes with high, medium or low",
    )
    called_ae: AeTitle | None = Field(
        default=None, description="called AE title to send instead of the client's"
    )
    calling_ae: AeTitle | None = Field(
        default=None, description="calling AE title to send instead of the client's"
    )
    encryption: RouteEncryption | None = Field(
        default=None,
        description="required: nothing goes to the destination unless it is encrypted; none: as `encryption` says of "
        "its zone",
    )
    allow: frozenset[DimseService] | None = Field(
        default=None,
        description="DIMSE services that are let through, for example [C-ECHO, C-STORE]; none: all",
    )
    allow_from_target: frozenset[DimseService] | None = Field(
        default=None,
        description="DIMSE services that the target may ask the client for; none: what `allow` implies",
    )

    @model_validator(mode="before")
    @classmethod
    def _list_of_destinations(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and isinstance(data.get("to"), (list, tuple)) and data["to"]:
            first, *rest = data["to"]
            return {**data, "to": first, "also": [*rest, *data.get("also", ())]}
        return data

    @model_validator(mode="after")
    def _several_destinations_are_durable(self) -> Self:
        if self.also and self.delivery is not Delivery.DURABLE:
            raise ValueError("several destinations need delivery: durable")
        if self.hooks and self.delivery is not Delivery.DURABLE:
            raise ValueError("hooks need delivery: durable")
        if self.by_origin and self.delivery is not Delivery.DURABLE:
            raise ValueError("by_origin needs delivery: durable")
        if self.by_origin and (self.also or self.hooks):
            raise ValueError("by_origin goes with neither hooks nor several destinations")
        if self.by_origin and self.commitment is CommitmentMode.TARGET:
            raise ValueError("by_origin doesn't go with commitment: target")
        if self.priority is not RoutePriority.MEDIUM and self.delivery is not Delivery.DURABLE:
            raise ValueError("priority needs delivery: durable")
        if self.accepts is not None and self.delivery is not Delivery.DURABLE:
            raise ValueError(
                "accepts needs delivery: durable; on a live route the destination answers itself"
            )
        if self.accepts == ():
            raise ValueError(
                "accepts: an empty list takes nothing at all; leave it out to ask the destination"
            )
        return self

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from other routes: of two with the same patterns the second one is never reached."""
        return self.called, self.calling

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """All destinations that it names, each once."""
        named = (*self.also, *self.by_origin.values())
        return tuple(dict.fromkeys(named if self.to is None else (self.to, *named)))

    def allows(self, service: DimseService) -> bool:
        """Tell whether a client's operations of `service` may pass."""
        return self.allow is None or service in self.allow

    def allows_from_target(self, service: DimseService) -> bool:
        """Tell whether a target's operations of `service` may pass.

        Without `allow_from_target` the target may ask for what the client may ask for, for the C-STORE sub-operations
        of an allowed C-GET, and for the reports that follow an allowed N-CREATE or N-ACTION.
        """
        if self.allow_from_target is not None:
            return service in self.allow_from_target
        return self.allows(service) or any(map(self.allows, _FOLLOWS.get(service, ())))


_FOLLOWS = {
    DimseService.C_STORE: (DimseService.C_GET,),
    DimseService.N_EVENT_REPORT: (DimseService.N_CREATE, DimseService.N_ACTION),
}
"""The services after which a target asks for a service itself (PS3.7 §9.1.3, §10.1.1)."""


def route_for(routes: Sequence[Route], *, called: str, calling: str) -> Route:
    """Return the first route that matches both AE titles, its `to` always filled in.

    When none matches, the called AE title itself is the destination, delivered live.
    """
    index = index_of_route(routes, called=called, calling=calling)
    route = Route() if index is None else routes[index]
    if route.to is None:
        # A peer's AE title isn't checked against PS3.5 here: either an executor serves it or none does.
        return route.model_copy(update={"to": Destination.model_construct(ae=called, zone=None)})
    return route


def index_of_route(routes: Sequence[Route], *, called: str, calling: str) -> int | None:
    """Return the index of the first route that matches both AE titles; None: none does."""
    for index, route in enumerate(routes):
        if fnmatchcase(called, route.called) and fnmatchcase(calling, route.calling):
            return index
    return None
