"""Take settled objects out of a spool: delivered ones at once, refused ones to the dead letters first."""

from __future__ import annotations

import asyncio
import logging

import anyio
from anyio.abc import TaskGroup

from dimse_mesh.delivery.dead_letters import store_dead_letter
from dimse_mesh.delivery.delivery_events import DeliveryEvents
from dimse_mesh.delivery.outcomes import DeliveryOutcome
from dimse_mesh.delivery.removal import PAUSE, Leaving, Removal
from dimse_mesh.delivery.scan import AheadObject
from dimse_mesh.delivery.settled import SettledObjects
from dimse_mesh.mesh import JetStream, JetStreamRefusal, MeshError, NotPermitted
from dimse_mesh.schemas.commitment import Fate
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import Receipts, SpooledObject, remove_pieces

log = logging.getLogger(__name__)

AT_ONCE = 192
"""Objects that are being removed while the next ones are sent; more, and the next one waits."""
MOST_BYTES = 16 << 20
"""Bytes of dead letters that are being stored while the next object is sent; more, and it waits."""
MOST_REMOVED = 20_000
"""Removed objects that are remembered: more than can have been read ahead."""


class Settling:
    """Removes objects in the background, and knows those that are not gone yet.

    A receipt is written before the object goes. Of the object the manifest goes first: pieces without one are nothing,
    and the keeper finds what a crash leaves of them.

    Args:
        known: is told of each object that is gone.
    """

    def __init__(
        self,
        jetstream: JetStream,
        spool: SpoolSubjects,
        tasks: TaskGroup,
        events: DeliveryEvents,
        known: SettledObjects,
    ) -> None:
        self._known = known
        self._events = events
        self._jetstream = jetstream
        self._spool = spool
        self._tasks = tasks
        self._receipts = Receipts(jetstream, spool)
        self._removal = Removal(jetstream, spool, tasks)
        self._under_way: set[int] = set()
        self._removed: dict[int, float] = {}
        """When an object was removed, in seconds of the event loop; of the last ones."""
        self._sure_since = float("-inf")
        """Since when, in seconds of the event loop, the next object is known not to be delivered."""
        self._letter_bytes = 0
        """Of the dead letters that are being stored."""
        self._free = anyio.Event()

    def is_settled(self, sequence: int, asked: float) -> bool:
        """Tell whether an object that was found in the spool is done with.

        Args:
            asked: when it was asked for. It may have been removed since; one that was removed before has come back.
        """
        return sequence in self._under_way or self._removed.get(sequence, -1.0) >= asked

    def remove(self, item: AheadObject, outcome: DeliveryOutcome) -> None:
        """Remove a delivered object, or one that another destination's queue has now."""
        self._under_way.add(item.spooled.sequence)
        self._tasks.start_soon(self._remove, self._removal.enter(item), outcome)

    def bury(self, item: AheadObject, outcome: DeliveryOutcome, attempts: int) -> None:
        """Put an object among the dead letters, and remove it when it stands there. Its pieces stay where they are."""
        spooled = item.spooled
        self._under_way.add(spooled.sequence)
        self._letter_bytes += len(spooled.message)
        self._tasks.start_soon(self._bury, spooled, self._removal.enter(item), outcome, attempts)

    async def _bury(
        self, spooled: SpooledObject, leaving: Leaving, outcome: DeliveryOutcome, attempts: int
    ) -> None:
        while True:
            try:
                await store_dead_letter(self._jetstream, self._spool, spooled, outcome, attempts=attempts)
                await self._note(spooled, Fate.FAILED, outcome.cause.value)
                await self._events.failed(spooled, outcome)
                break
            except MeshError as error:
                log.warning("%s: a dead letter can't be stored yet: %s", self._spool, error)
            await anyio.sleep(PAUSE)
        self._letter_bytes -= len(spooled.message)
        del spooled
        await self._remove(leaving, None)

    async def was_delivered(self, spooled: SpooledObject) -> bool:
        """Tell whether an object that is in the spool was delivered before.

        Whoever delivered it was killed before it was removed; or nats-server was, and has brought it back, a manifest
        whose pieces are gone, for example.

        Raises:
            MeshError: NATS is away.
        """
        try:
            return await self._receipts.says_delivered(spooled.manifest, spooled.sequence)
        except NotPermitted:
            return False  # it may be delivered twice, and is never lost

    async def was_delivered_before(self, spooled: SpooledObject) -> bool:
        """Tell whether the next object was delivered before this service began, or before NATS came back (ADR 18).

        The first objects after that are asked about, until one of them wasn't: those behind it come after it.

        Raises:
            MeshError: NATS is away.
        """
        if not self._jetstream.was_away_since(self._sure_since):
            return False
        began = asyncio.get_running_loop().time()
        if await self.was_delivered(spooled):
            return True
        self._sure_since = began
        return False

    @property
    def is_busy(self) -> bool:
        """Whether something is settled that isn't gone."""
        return bool(self._under_way)

    async def settled(self) -> None:
        """Wait until everything is removed."""
        while self._under_way:
            await self._free.wait()

    async def room(self) -> None:
        """Wait until not too much is being removed."""
        while len(self._under_way) >= AT_ONCE or self._letter_bytes >= MOST_BYTES:
            await self._free.wait()

    async def _note(
        self, spooled: SpooledObject, fate: Fate, cause: str = "", redirected_to: str = ""
    ) -> None:
        """Write a receipt. Where there is no room for it the object goes all the same, and makes some.

        Its client is told then that it isn't committed, and sends it again.

        Raises:
            MeshError: NATS is away.
        """
        try:
            await self._receipts.write(
                spooled.manifest, spooled.sequence, fate, cause=cause, redirected_to=redirected_to
            )
        except JetStreamRefusal as error:
            log.warning("%s: no receipt for storage commitment: %s", self._spool, error)

    async def _tell(self, spooled: SpooledObject, outcome: DeliveryOutcome) -> None:
        """Tell what has become of an object, however long NATS is away."""
        told = False
        while not told:
            try:
                if outcome.redirected_to:
                    await self._note(spooled, Fate.REDIRECTED, redirected_to=outcome.redirected_to)
                else:
                    await self._note(spooled, Fate.DELIVERED)
                    await self._events.delivered(spooled, outcome)
                told = True
            except MeshError as error:
                log.warning("%s: a settled object can't be removed yet: %s", self._spool, error)
                await anyio.sleep(PAUSE)

    async def _remove(self, leaving: Leaving, delivered: DeliveryOutcome | None) -> None:
        """Remove an object, and tell before that what has become of it; None: a dead letter, of which that is told."""
        spooled = leaving.spooled
        try:
            if delivered is not None:
                await self._tell(spooled, delivered)
            await self._removal.remove(leaving)
            self._known.note(spooled.sequence, spooled.manifest.object_id)
            if delivered is not None:
                await remove_pieces(self._jetstream, self._spool, spooled.manifest)
        except MeshError as error:
            log.warning("%s: pieces of a delivered object stay for the keeper: %s", self._spool, error)
        finally:
            self._under_way.discard(spooled.sequence)
            self._removed[spooled.sequence] = asyncio.get_running_loop().time()
            if len(self._removed) > MOST_REMOVED:
                del self._removed[next(iter(self._removed))]
            self._free.set()
            self._free = anyio.Event()
