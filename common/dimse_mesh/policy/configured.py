"""The policy that a zone's file describes: AE titles, limits, zones and the `allow` lists of its routes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from dimse_mesh.dimse import CommandField, FailureReason
from dimse_mesh.policy.decision import PolicyRefusal
from dimse_mesh.policy.questions import AdmissionQuestion, OpeningQuestion, OperationQuestion, Side
from dimse_mesh.policy.rejections import (
    CALLED_NOT_RECOGNIZED,
    CALLING_NOT_RECOGNIZED,
    CONGESTION,
    LIMIT_EXCEEDED,
    VERSION_NOT_SUPPORTED,
)
from dimse_mesh.runtime.routing import DimseService, Route, route_for
from dimse_mesh.runtime.settings import ZoneSettings

_REMEMBERED = 1024
"""Pairs of AE titles whose route is remembered."""
_NAMES = frozenset(DimseService)
NOT_AUTHORIZED = PolicyRefusal("not_authorized", reason=FailureReason.NOT_AUTHORIZED)
UNRECOGNIZED = PolicyRefusal("unrecognized_operation", reason=FailureReason.UNRECOGNIZED_OPERATION)


class ConfiguredPolicy:
    """The rules that one zone's settings hold.

    Args:
        calling_ae_titles: that may associate; None: all.
        max_associations: of one front-end.
        from_zones: for each AE that this zone serves, the zones that may open it; None: all.
        routes: for their `allow`.
    """

    __slots__ = ("_calling_ae_titles", "_from_zones", "_max_associations", "_routes", "_routes_by_titles")

    def __init__(
        self,
        *,
        routes: Sequence[Route],
        calling_ae_titles: Collection[str] | None = None,
        max_associations: int = 1 << 30,
        from_zones: Mapping[str, Collection[str] | None] | None = None,
    ) -> None:
        self._routes = routes
        self._calling_ae_titles = calling_ae_titles
        self._max_associations = max_associations
        self._from_zones = from_zones or {}
        self._routes_by_titles: dict[tuple[str, str], Route] = {}

    @classmethod
    def of(cls, settings: ZoneSettings) -> ConfiguredPolicy:
        """Return the policy of a zone's file."""
        return cls(
            routes=settings.routes,
            calling_ae_titles=settings.association.calling_ae_titles,
            max_associations=settings.association.max_associations,
            from_zones={remote.ae_title: remote.from_zones for remote in settings.scu.remote_aes},
        )

    def admission(self, question: AdmissionQuestion, /) -> PolicyRefusal | None:
        """Decide by protocol version, AE titles, and the number of open associations."""
        if not question.protocol_version & 1:  # PS3.8 §9.3.2: bit 0 is version 1
            return PolicyRefusal("protocol-version", VERSION_NOT_SUPPORTED)
        if self._calling_ae_titles is not None and question.calling_ae not in self._calling_ae_titles:
            return PolicyRefusal("calling-ae-not-allowed", CALLING_NOT_RECOGNIZED)
        if question.listener is not None and question.called_ae not in question.listener:
            return PolicyRefusal("called-ae-not-served-here", CALLED_NOT_RECOGNIZED)
        if question.draining:
            return PolicyRefusal("draining", CONGESTION)
        if question.open_associations >= self._max_associations:
            return PolicyRefusal("association-limit", LIMIT_EXCEEDED)
        return None

    def opening(self, question: OpeningQuestion, /) -> PolicyRefusal | None:
        """Decide by the zone that asks. The front-end's side has no rule of its own."""
        if question.side is Side.FRONT_END or question.target is None:
            return None
        zones = self._from_zones.get(question.target)
        if zones is not None and question.from_zone not in zones:
            return PolicyRefusal("zone-not-allowed", CALLING_NOT_RECOGNIZED)
        return None

    def operation(self, question: OperationQuestion, /) -> PolicyRefusal | None:
        """Decide by the route's `allow` list.

        Without a list every operation passes, whether PS3.7 knows it or not. With a list only the services that it
        names pass, and C-CANCEL, which concerns an operation that was allowed before. A target's own requests
        (sub-operations, reports) belong to operations that were allowed before, too.
        """
        if not question.from_client:
            return None
        allow = self._route(question.called_ae, question.calling_ae).allow
        if allow is None or question.command_field == CommandField.C_CANCEL_RQ:
            return None
        if question.service not in _NAMES:
            return UNRECOGNIZED
        return None if DimseService(question.service) in allow else NOT_AUTHORIZED

    def _route(self, called: str, calling: str) -> Route:
        key = (called, calling)
        route = self._routes_by_titles.get(key)
        if route is None:
            if len(self._routes_by_titles) >= _REMEMBERED:
                self._routes_by_titles.clear()
            route = self._routes_by_titles[key] = route_for(self._routes, called=called, calling=calling)
        return route
