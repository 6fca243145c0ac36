"""Which spools a zone's durable routes have. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from dimse_mesh.runtime.routing import Delivery, Destination, Route
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.schemas.spool_subjects import DestinationKind, Share, SpoolSubjects, origin_spool, share_of


def spool_of(settings: ZoneSettings, destination: Destination) -> SpoolSubjects:
    """Return the spool of a destination, in a source zone."""
    kind = DestinationKind.AE if destination.zone is None else DestinationKind.ZONE
    name = destination.zone or destination.ae or ""
    return SpoolSubjects(settings.subject_root, settings.zone, kind, name)


def entrances_of(settings: ZoneSettings, route: Route) -> list[SpoolSubjects]:
    """Return the spools that a route's objects are written into.

    Those of its destinations; before hooks, where it has hooks; one for all, where they are chosen by origin.
    """
    if route.by_origin:
        return [origin_spool(settings.subject_root, settings.zone)]
    spools = [spool_of(settings, destination) for destination in route.destinations]
    return [spool.before_hooks for spool in spools] if route.hooks else spools


def spools_of(settings: ZoneSettings) -> tuple[SpoolSubjects, ...]:
    """Return the spools of a zone's durable routes, each once, in the order of the routes."""
    durable = [route for route in settings.routes if route.delivery is Delivery.DURABLE]
    spools: list[SpoolSubjects] = []
    for route in durable:
        entrances = entrances_of(settings, route)
        spools += entrances
        if route.hooks:
            spools += [entrance.behind_hooks for entrance in entrances]
        elif route.by_origin:
            spools += [spool_of(settings, destination) for destination in route.destinations]
    return tuple(dict.fromkeys(spools))


def shares_of(settings: ZoneSettings) -> tuple[Share, ...]:
    """Return what the destinations of a zone's durable routes share, each set of destinations once."""
    entrances = (
        entrances_of(settings, route) for route in settings.routes if route.delivery is Delivery.DURABLE
    )
    return tuple(dict.fromkeys(share_of(spools) for spools in entrances if len(set(spools)) > 1))


def written_by(spools: Sequence[SpoolSubjects]) -> list[SpoolSubjects]:
    """Return the streams that an object for these spools is written into: they, and what they share."""
    return [*spools, share_of(spools).spool] if len(set(spools)) > 1 else list(spools)
