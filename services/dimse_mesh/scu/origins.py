"""Remember which zone each study comes from that AEs of this zone get live: for routes by origin."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from dimse_mesh.endpoint import AssociationIdentity
from dimse_mesh.mesh import JetStream, MeshError
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.schemas.spool_subjects import study_token
from dimse_mesh.spool import Origins

log = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Studies that wait for JetStream; of more, the oldest isn't remembered."""
PAUSE = 1.0


class LiveOrigins:
    """Hears of studies as they pass, and notes them one after the other: nobody on their way waits for that."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._waiting: dict[tuple[str, str], str] = {}
        """Calling AE title by study and the zone that it comes from, the oldest first."""
        self._came = anyio.Event()

    def listener(self, identity: AssociationIdentity) -> Callable[[str], None]:
        """Return what is told the Study Instance UIDs that pass on an association."""

        def came(study: str) -> None:
            key = study_token(study), identity.home_zone
            if self._origins.knows(*key) or key in self._waiting:
                return
            self._waiting[key] = identity.calling_ae
            if len(self._waiting) > MOST_WAITING:
                del self._waiting[next(iter(self._waiting))]
            self._came.set()

        return came

    async def run(self) -> None:
        """Note what has passed, until cancelled."""
        while True:
            await self._came.wait()
            self._came = anyio.Event()
            while self._waiting:
                key, calling_ae = next(iter(self._waiting.items()))
                study, source = key
                try:
                    await self._origins.note(study, source=source, calling_ae=calling_ae)
                except MeshError as error:
                    log.warning("where studies come from can't be noted: %s", error)
                    await anyio.sleep(PAUSE)
                else:
                    self._waiting.pop(key, None)


async def live_origins(context: ServiceContext, tasks: TaskGroup) -> LiveOrigins | None:
    """Begin to note from where studies come; None: no route of this zone goes by that."""
    settings = context.settings
    if not settings.has_routes_by_origin:
        return None
    jetstream = JetStream(context.mesh, domain=settings.spool.domain, deadline=settings.spool.deadline)
    await jetstream.start()
    live = LiveOrigins(Origins(jetstream, root=settings.subject_root, zone=settings.zone))
    tasks.start_soon(live.run)
    return live
