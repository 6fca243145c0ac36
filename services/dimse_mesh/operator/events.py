"""Kubernetes Events of a DimseProxy: what `kubectl describe` shows of its history."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from dimse_mesh.operator.cluster import ApiError, Cluster
from dimse_mesh.operator.names import MANAGER, Manifest

log = logging.getLogger(__name__)

MAX_MESSAGE = 1000
REPEAT_SECONDS = 600.0
"""The same event isn't told again within this time."""
REMEMBERED = 32


@dataclass(slots=True)
class Told:
    """What was told of one resource, and when."""

    at: dict[tuple[str, str], float] = field(default_factory=dict)


class Recorder:
    """Creates Events; that one can't be created stops nothing."""

    def __init__(self, clock: Callable[[], float], now: Callable[[], str]) -> None:
        self._clock = clock
        self._now = now

    async def tell(
        self, cluster: Cluster, resource: Manifest, told: Told, reason: str, message: str, *, warning: bool
    ) -> None:
        """Record one event, unless it was told lately."""
        time = self._clock()
        key = (reason, message)
        if time - told.at.get(key, float("-inf")) < REPEAT_SECONDS:
            return
        told.at[key] = time
        while len(told.at) > REMEMBERED:
            del told.at[min(told.at, key=lambda one: told.at[one])]
        metadata = resource["metadata"]
        stamp = self._now()
        event: Manifest = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}",
                "namespace": metadata["namespace"],
            },
            "involvedObject": {
                "apiVersion": resource["apiVersion"],
                "kind": resource["kind"],
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message[:MAX_MESSAGE],
            "source": {"component": MANAGER},
            "reportingComponent": MANAGER,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
        try:
            await cluster.create(event)
        except ApiError as error:
            log.info("%s/%s: an event was not recorded: %s", metadata["namespace"], metadata["name"], error)
