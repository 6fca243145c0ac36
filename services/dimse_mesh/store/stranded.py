"""Spools of this zone to which no durable route leads any more: a destination was renamed, or taken out of the file.

What waits there was acknowledged, and nobody may deliver it: permissions follow the routes. So it is told.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

import anyio

from dimse_mesh.mesh import JetStream, MeshError, NotPermitted
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.counters_durable import QueueKey, SpoolCounters, SpoolState
from dimse_mesh.schemas.spool_subjects import SpoolSubjects, every_spool, parse_stream

log = logging.getLogger(__name__)


class StrandedSpools:
    """Looks for such spools.

    Args:
        known: the spools to which routes lead.
        counters: of the zone's spools; those that are found are added, as long as they hold something.
    """

    def __init__(
        self,
        jetstream: JetStream,
        known: Collection[SpoolSubjects],
        counters: dict[QueueKey, SpoolCounters],
        *,
        root: str,
        zone: str,
    ) -> None:
        self._jetstream = jetstream
        self._known = frozenset(known)
        self._counters = counters
        self._root = root
        self._zone = zone
        self._told: set[SpoolSubjects] = set()

    async def look(self) -> None:
        """Look once.

        Raises:
            MeshError: the streams can't be listed.
        """
        for info in await self._jetstream.stream_infos(every_spool(self._root)):
            spool = parse_stream(self._root, str(info["config"]["name"]))
            if spool is None or spool.zone != self._zone or spool in self._known:
                continue
            key, state = QueueKey(spool.zone, spool.label), info["state"]
            if not state["messages"]:
                self._counters.pop(key, None)
                continue
            self._counters[key] = SpoolCounters(
                reachable=True,
                objects=int(state["messages"]),
                bytes_kept=int(state["bytes"]),
                bytes_limit=int(info["config"]["max_bytes"]),
                state=SpoolState.NOBODY,
            )
            if spool not in self._told:
                self._told.add(spool)
                log.error(
                    "%s: objects are kept for it, and no durable route leads there any more: nobody delivers them "
                    "until one does",
                    spool,
                )


async def watch_stranded(context: ServiceContext) -> None:
    """Look for spools of a zone that has no durable route any more, again and again, until cancelled."""
    settings = context.settings
    jetstream = JetStream(context.mesh, domain=settings.spool.domain, deadline=settings.spool.deadline)
    await jetstream.start()
    stranded = StrandedSpools(
        jetstream, (), context.counters.spools, root=settings.subject_root, zone=settings.zone
    )
    while True:
        try:
            await stranded.look()
        except NotPermitted as error:  # permissions that an earlier version has written
            log.debug("spools without a route can't be looked for: %s", error)
            return
        except MeshError as error:  # most zones without durable routes have no JetStream
            log.debug("spools without a route aren't seen: %s", error)
        await anyio.sleep(settings.spool.look_interval)
