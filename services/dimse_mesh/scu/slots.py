"""A target's `max_associations`, kept by all executors of a zone together (docs/adr/0007).

The live executor with the lowest instance id is the **keeper**. Who wants to open an association with a limited target
says to it how many it would then hold; the keeper adds up what each of the others last said, and grants or doesn't.
There is no lease to renew and none to lose: a statement holds until the next one, every heartbeat is one, and the dead
hold nothing.

    not keeper  -> keeper is another: ask it
    new keeper  -> for a heartbeat interval: ask-again, while everybody's heartbeat comes in
    keeper      -> decides at once
"""

from __future__ import annotations

import asyncio

import anyio

from dimse_mesh.mesh import Delivery, EnvelopeError, Mesh, MeshError, pack, unpack
from dimse_mesh.mesh.liveness import Liveness
from dimse_mesh.schemas.service import Heartbeat, ServiceName
from dimse_mesh.schemas.slots import SlotAnswer, SlotReply, SlotRequest

ASK_TIMEOUT = 1.0
"""Seconds that the keeper has to answer; then it may be dead."""
RETRY_PAUSE = 0.1
"""Seconds between asking again."""
SETTLING = 1.25
"""Heartbeat intervals that a new keeper listens before it decides."""


class Slots:
    """This executor's part, as one that asks and, when it is its turn, as the keeper.

    Args:
        holding: our own associations by AE title, which the heartbeat tells; counted here.
        interval: between heartbeats, in seconds.
    """

    def __init__(self, mesh: Mesh, liveness: Liveness, *, holding: dict[str, int], interval: float) -> None:
        self._mesh = mesh
        self._liveness = liveness
        self._holding = holding
        self._settling = SETTLING * interval
        self._asking: dict[str, anyio.Lock] = {}
        self._stated: dict[str, dict[str, int]] = {}
        self._loop = asyncio.get_running_loop()
        self._keeper = mesh.instance
        self._keeper_since = self._loop.time()
        self.draining = False

    async def start(self) -> None:
        """Hear heartbeats and statements: both on one connection, so in the order in which they were sent."""
        await self._mesh.subscribe(self._mesh.subjects.live, self._on_heartbeat)
        await self._mesh.subscribe(self._mesh.subjects.slots(self._mesh.instance).name, self._on_request)

    async def take(self, ae_title: str, limit: int, *, within: float) -> bool:
        """Count an association with a target, if it may be opened; False: it may not, or nobody knew in time.

        One at a time for each target, so that what we say we hold is never more than one too much.
        """
        if limit == 0:
            self._count(ae_title, 1)
            return True
        granted = False
        with anyio.move_on_after(within):
            async with self._asking.setdefault(ae_title, anyio.Lock()):
                self._count(ae_title, 1)
                try:
                    granted = await self._granted(ae_title, limit)
                finally:
                    if not granted:
                        self.give_back(ae_title, limit)
        return granted

    async def _granted(self, ae_title: str, limit: int) -> bool:
        while True:
            keeper = self._find_keeper()
            if keeper == self._mesh.instance:
                answer = self._decide(self._statement(ae_title, limit))
            else:
                answer = await self._ask(keeper, self._statement(ae_title, limit))
            if answer is not SlotAnswer.ASK_AGAIN:
                return answer is SlotAnswer.GRANTED
            await anyio.sleep(RETRY_PAUSE)

    def give_back(self, ae_title: str, limit: int) -> None:
        """Take an association that `take` counted off again."""
        self._count(ae_title, -1)
        keeper = self._find_keeper() if limit else self._mesh.instance
        if keeper != self._mesh.instance:
            self._mesh.publish(self._mesh.subjects.slots(keeper).name, pack(self._statement(ae_title, limit)))

    def _count(self, ae_title: str, change: int) -> None:
        self._holding[ae_title] = self._holding.get(ae_title, 0) + change

    def _statement(self, ae_title: str, limit: int) -> SlotRequest:
        return SlotRequest(
            instance=self._mesh.instance,
            ae_title=ae_title,
            holding=self._holding.get(ae_title, 0),
            limit=limit,
        )

    async def _ask(self, keeper: str, request: SlotRequest) -> SlotAnswer:
        try:
            reply, _ = await self._mesh.request(
                self._mesh.subjects.slots(keeper), request, timeout=ASK_TIMEOUT
            )
        except MeshError:
            return SlotAnswer.ASK_AGAIN
        return reply.answer

    # the keeper

    def _executors(self) -> list[Heartbeat]:
        return [
            heartbeat
            for heartbeat in self._liveness.instances
            if heartbeat.service is ServiceName.SCU and heartbeat.zone == self._mesh.zone
        ]

    def _find_keeper(self) -> str:
        """Return the keeper, and note since when it is."""
        candidates = [heartbeat.instance for heartbeat in self._executors() if not heartbeat.draining]
        if not self.draining or not candidates:
            candidates.append(self._mesh.instance)
        keeper = min(candidates)
        if keeper != self._keeper:
            self._keeper = keeper
            self._keeper_since = self._loop.time()
        return keeper

    def _decide(self, request: SlotRequest) -> SlotAnswer:
        if self._find_keeper() != self._mesh.instance:
            return SlotAnswer.ASK_AGAIN
        if self._loop.time() - self._keeper_since < self._settling:
            return SlotAnswer.ASK_AGAIN
        living = {heartbeat.instance for heartbeat in self._executors()}
        for dead in self._stated.keys() - living:
            del self._stated[dead]
        title = request.ae_title
        others = sum(stated.get(title, 0) for who, stated in self._stated.items() if who != request.instance)
        if request.instance != self._mesh.instance:
            others += self._holding.get(title, 0)
        granted = others + request.holding <= request.limit
        if request.instance != self._mesh.instance:
            holds = request.holding if granted else request.holding - 1
            self._stated.setdefault(request.instance, {})[title] = holds
        return SlotAnswer.GRANTED if granted else SlotAnswer.FULL

    def _on_request(self, delivery: Delivery) -> None:
        try:
            request, _ = unpack(SlotRequest, delivery.payload)
        except EnvelopeError:
            return
        if delivery.reply:
            self._mesh.publish(delivery.reply, pack(SlotReply(answer=self._decide(request))))
        else:
            self._stated.setdefault(request.instance, {})[request.ae_title] = request.holding

    def _on_heartbeat(self, delivery: Delivery) -> None:
        try:
            heartbeat, _ = unpack(Heartbeat, delivery.payload)
        except EnvelopeError:
            return
        if heartbeat.service is ServiceName.SCU and heartbeat.zone == self._mesh.zone:
            if heartbeat.instance != self._mesh.instance:
                self._stated[heartbeat.instance] = dict(heartbeat.associations)
            self._find_keeper()
