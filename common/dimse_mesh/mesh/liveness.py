"""Heartbeats, probes and obituaries: the IO around `deaths.DeathWatch`.

A newcomer says that it is there before it does anything else, and each who is there already answers with a heartbeat
for it alone. So of any two instances each knows the other one round trip after the later one came, and a crowd of N
costs N heartbeats to all and less than N * N to one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from dimse_mesh.mesh.connection import Mesh
from dimse_mesh.mesh.deaths import Cause, Death, DeathWatch, LivenessSettings
from dimse_mesh.mesh.envelope import pack, unpack
from dimse_mesh.mesh.errors import EnvelopeError, report
from dimse_mesh.mesh.wire import Delivery
from dimse_mesh.schemas.service import Heartbeat, Obituary, ServiceName

log = logging.getLogger(__name__)

_REPEATED = 64
"""How many deaths a heartbeat repeats at most."""

Load = Callable[[], dict[str, int]]
"""Open associations by remote AE, for the heartbeat."""


class Liveness:
    """Says that this instance lives, and learns which others died. Made by `open_liveness`.

    `on_dead(instance)` is called once for each watched instance that died, from the event loop, never from
    within `watch`. It must not block; what it raises is logged.
    """

    def __init__(
        self,
        mesh: Mesh,
        service: ServiceName,
        *,
        on_dead: Callable[[str], None] | None = None,
        load: Load = dict,
        serves_zone: bool = False,
        settings: LivenessSettings | None = None,
    ) -> None:
        self._mesh = mesh
        self._service = service
        self._on_dead = on_dead
        self._load = load
        self._serves_zone = serves_zone
        self._settings = settings or LivenessSettings()
        self._core = DeathWatch(self._settings, mesh.instance, mesh.zone)
        self._draining = False
        self._replies = f"{mesh.subjects.inbox(mesh.instance)}.ping"
        self._loop = asyncio.get_running_loop()
        self._connects = -1
        self._server_url = ""
        self._next_beat = 0.0
        self._mourned: dict[str, float] = {}
        """Who died lately, and until when our heartbeats say so."""

    @property
    def instances(self) -> list[Heartbeat]:
        """The last heartbeat of every other instance that is not known to be dead."""
        return self._core.heartbeats()

    @property
    def watched(self) -> int:
        """How many instances are watched."""
        return self._core.watched()

    def on_dead(self, callback: Callable[[str], None]) -> None:
        """Tell `callback` of deaths from now on, instead of whom `open_liveness` was given."""
        self._on_dead = callback

    def watch(self, instance: str) -> None:
        """Call `on_dead` if `instance` dies; counted, so each call needs its `unwatch`.

        After `on_dead(instance)` nothing is left to unwatch. At most 0.5 s later the first probe is sent.
        """
        death = self._core.watch(instance, self._loop.time())
        if death is not None:
            self._loop.call_soon(self._tell, death)

    def unwatch(self, instance: str) -> None:
        """Take back one `watch`."""
        self._core.unwatch(instance)

    def drain(self) -> None:
        """Tell the others, now and from now on, that this instance takes nothing new."""
        self._draining = True
        self._beat()

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(
            instance=self._mesh.instance,
            zone=self._mesh.zone,
            service=self._service,
            server_id=self._mesh.server_id,
            draining=self._draining,
            associations=self._load(),
            serves_zone=self._serves_zone,
            dead=self._lately_dead(),
        )

    def _lately_dead(self) -> tuple[str, ...]:
        now = self._loop.time()
        self._mourned = {instance: until for instance, until in self._mourned.items() if until > now}
        return tuple(self._mourned)[-_REPEATED:]

    def _beat(self) -> None:
        self._mesh.publish(self._mesh.subjects.live, pack(self._heartbeat()))

    def _greet(self, newcomer: str) -> None:
        self._mesh.publish(self._mesh.subjects.greeting(newcomer), pack(self._heartbeat()))

    def _announce(self, instance: str) -> None:
        obituary = Obituary(instance=instance, witness=self._mesh.instance)
        self._mesh.publish(self._mesh.subjects.dead, pack(obituary))

    # --- from the mesh

    def _on_live(self, delivery: Delivery) -> None:
        newcomer = self._hear(delivery)
        if newcomer is not None:
            self._greet(newcomer)

    def _on_greeting(self, delivery: Delivery) -> None:
        self._hear(delivery)  # who greets us knows us

    def _hear(self, delivery: Delivery) -> str | None:
        """Take in a heartbeat; return who it is from, if that is new here."""
        try:
            heartbeat, _ = unpack(Heartbeat, delivery.payload)
        except EnvelopeError:
            return None
        newcomer = None
        if self._core.heartbeat(heartbeat, self._loop.time()):
            newcomer = heartbeat.instance
            self._mourned.pop(newcomer, None)
        for instance in heartbeat.dead:
            self._bury(instance)
        return newcomer

    def _on_obituary(self, delivery: Delivery) -> None:
        try:
            obituary, _ = unpack(Obituary, delivery.payload)
        except EnvelopeError:
            return
        self._bury(obituary.instance)

    def _bury(self, instance: str) -> None:
        death = self._core.obituary(instance)
        if death is not None:
            self._mourn(death)

    def _on_ping(self, delivery: Delivery) -> None:
        if delivery.reply:
            self._mesh.publish(delivery.reply, self._mesh.server_id.encode())

    def _on_pong(self, delivery: Delivery) -> None:
        instance = delivery.subject.rpartition(".")[2]
        now = self._loop.time()
        self._follow_connection()
        if delivery.no_responders:
            self._core.refused(instance, now)
            self._look(now)
        else:
            self._core.answered(instance, delivery.payload.decode("ascii", "replace"), now)

    # --- by the clock

    async def _start(self) -> None:
        """Subscribe, and say that we are there."""
        subjects = self._mesh.subjects
        await self._mesh.subscribe(subjects.greeting(self._mesh.instance), self._on_greeting)
        await self._mesh.subscribe(subjects.live, self._on_live)
        await self._mesh.subscribe(subjects.dead, self._on_obituary)
        await self._mesh.subscribe(subjects.ping(self._mesh.instance), self._on_ping)
        await self._mesh.subscribe(f"{self._replies}.*", self._on_pong)
        self._tick()

    async def _run(self) -> None:
        while True:
            pause = self._settings.probe_interval
            await anyio.sleep(pause / 2 if self._core.suspects() else pause)
            self._tick()

    def _tick(self) -> None:
        """Do what is due by the clock."""
        now = self._loop.time()
        if self._follow_connection():
            self._next_beat = now
        if now >= self._next_beat:
            self._beat()
            self._next_beat = now + self._settings.interval
        for instance in self._core.to_probe(now):
            self._mesh.publish(self._mesh.subjects.ping(instance), b"", reply=f"{self._replies}.{instance}")
        self._look(now)

    def _follow_connection(self) -> bool:
        """Tell the core about our own connection; True: it came back (and everybody should hear us)."""
        connects = self._mesh.control_connects if self._mesh.control_connected else 0
        if connects == self._connects:
            return False
        self._connects = connects
        if connects == 0:
            self._core.disconnected()
            return False
        self._core.connected(
            self._mesh.server_id,
            self._mesh.connected_since,
            replaced=self._mesh.server_url == self._server_url,
        )
        self._server_url = self._mesh.server_url
        return True

    def _look(self, now: float) -> None:
        for death in self._core.deaths(now):
            self._mourn(death)

    def _mourn(self, death: Death) -> None:
        # Who stops in order says so itself, to everybody: that is no news unless it is watched.
        level = logging.DEBUG if death.cause is Cause.OBITUARY and not death.watched else logging.WARNING
        log.log(level, "instance %s is dead (%s)", death.instance, death.cause)
        if death.cause is not Cause.SILENCE:
            self._mourned[death.instance] = self._loop.time() + self._settings.deadline
        if death.announce:
            self._announce(death.instance)
        if death.watched:
            self._tell(death)

    def _tell(self, death: Death) -> None:
        if self._on_dead is None:
            return
        try:
            self._on_dead(death.instance)
        except Exception as exc:  # noqa: BLE001 - one mourner must not stop the watch
            report("on_dead", exc)


@asynccontextmanager
async def open_liveness(
    mesh: Mesh,
    service: ServiceName,
    *,
    on_dead: Callable[[str], None] | None = None,
    load: Load = dict,
    serves_zone: bool = False,
    settings: LivenessSettings | None = None,
) -> AsyncIterator[Liveness]:
    """Beat and watch until the block ends; then tell everybody that this instance is gone.

    Args:
        mesh: of the instance.
        service: of the instance.
        on_dead: see `Liveness`.
        load: what the heartbeats tell of associations.
        serves_zone: whether they tell that the instance serves its zone's default target.
        settings: the times; by default the settings' defaults.
    """
    liveness = Liveness(mesh, service, on_dead=on_dead, load=load, serves_zone=serves_zone, settings=settings)
    await liveness._start()
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(liveness._run)
        try:
            yield liveness
        except Exception as exc:  # noqa: BLE001 - raised below, outside this task group's exception group
            failure = exc
        finally:
            tasks.cancel_scope.cancel()
            liveness._announce(mesh.instance)
    if failure is not None:
        raise failure


def announce_death(mesh: Mesh, instance: str) -> None:
    """Publish the obituary of an instance that its supervisor saw end."""
    mesh.publish(mesh.subjects.dead, pack(Obituary(instance=instance, witness=mesh.instance)))
