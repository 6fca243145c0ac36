"""A target's `max_associations`, kept by all executors of a zone together (docs/adr/0007).

The live executor with the lowest address is the **keeper**. Who wants to open an association with a limited target
says to it how many it would then hold; the keeper adds up what each of the others last said, and grants or doesn't.
There is no lease to renew and none to lose: a statement holds until the next one, every heartbeat is one, and the dead
hold nothing. A limit that nobody has set is no licence count: each executor keeps it by itself, and asks nobody.

    not keeper  -> keeper is another: ask it
    new keeper  -> for a heartbeat interval: ask-again, while everybody's heartbeat comes in
    keeper      -> decides at once
"""

from __future__ import annotations

import asyncio
import logging

import anyio

from dimse_mesh.mesh import EnvelopeError, LiveInstance, Mesh, MeshError, Message, pack, unpack
from dimse_mesh.mesh.complaints import Complaints
from dimse_mesh.mesh.liveness import Liveness
from dimse_mesh.runtime.settings_scu import MOST_ASSOCIATIONS
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.service import MOST_AES, Heartbeat
from dimse_mesh.schemas.slots import SlotAnswer, SlotReply, SlotRequest
from dimse_mesh.schemas.subjects import Kind

log = logging.getLogger(__name__)

ASK_TIMEOUT = 1.0
"""Seconds that the keeper has to answer; then it may be dead."""
RETRY_PAUSE = 0.1
"""Seconds between asking again."""
MOST_EXECUTORS = 1000
"""Executors of a zone whose statements are kept."""
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
        self._stated: dict[InstanceAddress, dict[str, int]] = {}
        self._loop = asyncio.get_running_loop()
        self._keeper = mesh.address
        self._keeper_since = self._loop.time()
        self.draining = False
        self._complaints = Complaints(log)

    async def start(self) -> None:
        """Hear heartbeats and statements: both on one connection, so in the order in which they were sent."""
        await self._mesh.subscribe(self._mesh.subjects.all_live, self._on_heartbeat)
        await self._mesh.subscribe(self._mesh.subjects.mine(Kind.SLOTS), self._on_request)

    async def take(self, ae_title: str, limit: int, *, within: float) -> bool:
        """Count an association with a target, if it may be opened; False: it may not, or nobody knew in time.

        One at a time for each target, so that what we say we hold is never more than one too much.
        """
        if not _is_kept_together(limit):
            if limit and self._holding.get(ae_title, 0) >= limit:
                return False
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
            if keeper == self._mesh.address:
                answer = self._decide(self._mesh.address, self._statement(ae_title, limit))
            else:
                answer = await self._ask(keeper, self._statement(ae_title, limit))
            if answer is not SlotAnswer.ASK_AGAIN:
                return answer is SlotAnswer.GRANTED
            await anyio.sleep(RETRY_PAUSE)

    def give_back(self, ae_title: str, limit: int) -> None:
        """Take an association that `take` counted off again."""
        self._count(ae_title, -1)
        keeper = self._find_keeper() if _is_kept_together(limit) else self._mesh.address
        if keeper != self._mesh.address:
            self._mesh.publish(
                self._mesh.subjects.to(keeper, Kind.SLOTS), pack(self._statement(ae_title, limit))
            )

    def _count(self, ae_title: str, change: int) -> None:
        self._holding[ae_title] = self._holding.get(ae_title, 0) + change

    def _statement(self, ae_title: str, limit: int) -> SlotRequest:
        return SlotRequest(ae_title=ae_title, holding=self._holding.get(ae_title, 0), limit=limit)

    async def _ask(self, keeper: InstanceAddress, request: SlotRequest) -> SlotAnswer:
        try:
            reply = await self._mesh.request(self._mesh.subjects.slots(keeper), request, timeout=ASK_TIMEOUT)
        except MeshError:
            return SlotAnswer.ASK_AGAIN
        return reply.head.answer if self._is_executor(reply.sender) else SlotAnswer.ASK_AGAIN

    # the keeper

    def _is_executor(self, instance: InstanceAddress | None) -> bool:
        """Tell whether somebody is an executor of our zone: nobody else has a say here."""
        return instance is not None and instance.role is Role.SCU and instance.zone == self._mesh.address.zone

    def _executors(self) -> list[LiveInstance]:
        return [one for one in self._liveness.instances if self._is_executor(one.address)]

    def _find_keeper(self) -> InstanceAddress:
        """Return the keeper, and note since when it is."""
        candidates = [one.address for one in self._executors() if not one.heartbeat.draining]
        if not self.draining or not candidates:
            candidates.append(self._mesh.address)
        keeper = min(candidates)
        if keeper != self._keeper:
            self._keeper = keeper
            self._keeper_since = self._loop.time()
        return keeper

    def _decide(self, asker: InstanceAddress, request: SlotRequest) -> SlotAnswer:
        if self._find_keeper() != self._mesh.address:
            return SlotAnswer.ASK_AGAIN
        if self._loop.time() - self._keeper_since < self._settling:
            return SlotAnswer.ASK_AGAIN
        living = {one.address for one in self._executors()}
        for dead in self._stated.keys() - living:
            del self._stated[dead]
        title = request.ae_title
        others = sum(stated.get(title, 0) for who, stated in self._stated.items() if who != asker)
        if asker != self._mesh.address:
            others += self._holding.get(title, 0)
        granted = others + request.holding <= request.limit
        if asker != self._mesh.address:
            holds = request.holding if granted else request.holding - 1
            self._state(asker, title, holds)
        return SlotAnswer.GRANTED if granted else SlotAnswer.FULL

    def _state(self, executor: InstanceAddress, ae_title: str, holding: int) -> None:
        """Note what an executor says of a target; no more targets than a heartbeat may tell of."""
        stated = self._stated.setdefault(executor, {})
        if ae_title in stated or len(stated) < MOST_AES:
            stated[ae_title] = holding

    def _on_request(self, message: Message) -> None:
        sender = message.sender
        if sender is None or not self._is_executor(sender):
            self._complaints.dropped(
                "a statement of slots, which only an executor of this zone makes", sender
            )
            return
        try:
            request, _ = unpack(SlotRequest, message.payload)
        except EnvelopeError:
            self._complaints.dropped("a malformed statement of slots", sender)
            return
        if message.reply:
            reply = self._mesh.subjects.reply_to(sender, message.reply)
            if reply is not None:
                self._mesh.publish(reply, pack(SlotReply(answer=self._decide(sender, request))))
        else:
            self._state(sender, request.ae_title, request.holding)

    def _on_heartbeat(self, message: Message) -> None:
        sender = message.sender
        if sender is None or not self._is_executor(sender):
            return
        try:
            heartbeat, _ = unpack(Heartbeat, message.payload)
        except EnvelopeError:
            return
        if sender != self._mesh.address and (sender in self._stated or len(self._stated) < MOST_EXECUTORS):
            self._stated[sender] = dict(heartbeat.associations)
        self._find_keeper()


def _is_kept_together(limit: int) -> bool:
    """Tell whether the executors of a zone keep a limit together: 0 is none, a high one each keeps by itself."""
    return 0 < limit < MOST_ASSOCIATIONS
