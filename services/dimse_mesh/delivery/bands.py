"""The objects of a queue by priority: higher ones first, and now and then some of the lower ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from anyio.abc import TaskGroup

from dimse_mesh.delivery.overlap import StoredNotice
from dimse_mesh.delivery.scan import AheadObject, ObjectScan
from dimse_mesh.schemas.spool_subjects import RoutePriority
from dimse_mesh.spool import Unreadable

HIGHER, LOWER = 32, 4
"""While both wait, so many objects of a priority are followed by so many lower ones: nothing waits without end."""
PRIORITIES = tuple(RoutePriority)


class Turns:
    """Whose turn it is. Pure."""

    def __init__(self) -> None:
        self._higher = [0] * len(PRIORITIES)
        """Objects of a priority in this round, while lower ones waited."""
        self._lower = [0] * len(PRIORITIES)
        """Objects of the lower ones that followed them."""
        self._before = (self._higher, self._lower)

    def take_back(self) -> None:
        """Forget the last turn: nothing has come of it."""
        self._higher, self._lower = self._before

    def next(self, waiting: Sequence[bool]) -> int | None:
        """Return the index of the priority whose turn it is; None: nothing waits.

        Args:
            waiting: for each priority, the highest first, whether objects of it wait.
        """
        self._before = (self._higher.copy(), self._lower.copy())
        last = max((index for index, waits in enumerate(waiting) if waits), default=None)
        for index, waits in enumerate(waiting):
            if not waits or index == last:
                self._higher[index] = self._lower[index] = 0
                if waits:
                    return index
            elif self._higher[index] < HIGHER:
                self._higher[index] += 1
                return index
            else:
                self._lower[index] += 1
                if self._lower[index] == LOWER:
                    self._higher[index] = self._lower[index] = 0
        return None


class Bands:
    """Reads the objects of one spool, a scan for each priority.

    A band that was found empty isn't waited for again until something is stored in it. Whether that was missed is seen
    every `look_interval` seconds, beside the deliveries. So priorities that nobody uses cost next to nothing.

    Args:
        scan: makes the scan of the objects of one priority.
        tasks: in which is looked.
    """

    def __init__(
        self, scan: Callable[[RoutePriority], ObjectScan], tasks: TaskGroup, *, look_interval: float
    ) -> None:
        self._tasks = tasks
        self._scans = [scan(priority) for priority in PRIORITIES]
        self._may_wait = [True] * len(PRIORITIES)
        self._turns = Turns()
        self._look_interval = look_interval
        self._looked = 0.0

    def stored(self, notice: StoredNotice) -> None:
        """Note that an object was stored."""
        for index, each in enumerate(PRIORITIES):
            if notice.priority is None:
                self._may_wait[index] = True
            elif notice.priority is each:
                self._may_wait[index] = True
                self._scans[index].stored(notice)

    async def next(self) -> tuple[RoutePriority, AheadObject | Unreadable] | None:
        """Return the next object, and its priority; None: nothing waits now.

        Raises:
            MeshError: the spool can't be read.
        """
        found = await self._take()
        now = asyncio.get_running_loop().time()
        if now - self._looked < self._look_interval:
            return found
        self._looked = now
        if found is None:
            self.stored(StoredNotice())
            return await self._take()
        self._tasks.start_soon(self._look)
        return found

    async def _look(self) -> None:
        """See whether something waits in the bands that were found empty."""
        for index, scan in enumerate(self._scans):
            if not self._may_wait[index] and await scan.look():
                self._may_wait[index] = True

    async def _take(self) -> tuple[RoutePriority, AheadObject | Unreadable] | None:
        """Return the next object of the bands in which something may wait.

        Raises:
            MeshError: as `next`.
        """
        while (index := self._turns.next(self._may_wait)) is not None:
            self._may_wait[index] = False  # what is stored from now on sets it again
            try:
                item = await self._scans[index].next()
            except BaseException:
                self._may_wait[index] = True
                raise
            if item is not None:
                self._may_wait[index] = True
                return PRIORITIES[index], item
            self._turns.take_back()
        return None

    def back_to(self, priority: RoutePriority, sequence: int) -> None:
        """Go on with the object that came last, which couldn't be delivered."""
        self._turns.take_back()
        self.scan(priority).back_to(sequence)

    def scan(self, priority: RoutePriority) -> ObjectScan:
        """Return the scan of one priority."""
        return self._scans[PRIORITIES.index(priority)]

    def others_may_wait(self, priority: RoutePriority) -> bool:
        """Tell whether objects of other priorities may wait."""
        return any(
            waits for each, waits in zip(PRIORITIES, self._may_wait, strict=True) if each is not priority
        )

    def has_passed(self, priority: RoutePriority, sequence: int) -> bool:
        """Tell whether an object's turn in its own band is over."""
        return sequence < self.scan(priority).position

    @property
    def furthest(self) -> int:
        """The sequence number before which an object that was passed over stands."""
        return max(scan.position for scan in self._scans)

    def start_again(self, *, from_first: bool) -> None:
        """Read every band anew, from its first object or from where it is."""
        for scan in self._scans:
            scan.back_to(1 if from_first else scan.position)
