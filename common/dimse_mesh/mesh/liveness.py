"""Heartbeats, probes and obituaries: the IO around `failure_detector.FailureDetector`.

A new instance first sends a heartbeat to all, and every other instance answers with a heartbeat for it alone. So two
instances know each other one round trip after the later one came. When N come together, they send N heartbeats to all
and fewer than N * N to one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import islice

import anyio

from dimse_mesh.mesh.complaints import Complaints
from dimse_mesh.mesh.connection import Mesh
from dimse_mesh.mesh.envelope import pack, unpack
from dimse_mesh.mesh.errors import EnvelopeError, ForeignVersion, report
from dimse_mesh.mesh.failure_detector import (
    Death,
    Evidence,
    FailureDetector,
    LiveInstance,
    LivenessSettings,
)
from dimse_mesh.mesh.subscription import Subscription
from dimse_mesh.mesh.wire import Message
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.service import MOST_AES, MOST_DEATHS, Dead, Heartbeat, Obituary
from dimse_mesh.schemas.subjects import Kind
from dimse_mesh.schemas.version import VERSION, ProtocolVersion

log = logging.getLogger(__name__)

_FIRST_DOUBT = 0.02
"""Seconds until an instance that is said to be dead is asked again: a server may not know yet that it is gone."""
_MOST_FOREIGN = 256
"""Instances of another protocol version that are told of by name."""

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
        *,
        on_dead: Callable[[InstanceAddress], None] | None = None,
        load: Load = dict,
        serves_zone: bool = False,
        settings: LivenessSettings | None = None,
    ) -> None:
        self._mesh = mesh
        self._on_dead = on_dead
        self._load = load
        self._serves_zone = serves_zone
        self._settings = settings or LivenessSettings()
        self._core = FailureDetector(self._settings, mesh.address)
        self._draining = False
        self._loop = asyncio.get_running_loop()
        self._connects = -1
        self._server_url = ""
        self._next_beat = 0.0
        self._reported_dead: dict[InstanceAddress, float] = {}
        """Instances of our zone that died lately, and until when our heartbeats name them."""
        self._doubting: asyncio.TimerHandle | None = None
        self._foreign: set[InstanceAddress] = set()
        self._complaints = Complaints(log)
        self._answering: list[Subscription] = []

    @property
    def instances(self) -> list[LiveInstance]:
        """Every other instance that is not known to be dead, with its last heartbeat."""
        return self._core.instances()

    @property
    def watched(self) -> int:
        """How many instances are watched."""
        return self._core.watched()

    def on_dead(self, callback: Callable[[InstanceAddress], None]) -> None:
        """Call `callback` for deaths from now on, instead of what `open_liveness` was given."""
        self._on_dead = callback

    def watch(self, instance: InstanceAddress) -> None:
        """Call `on_dead` if `instance` dies; counted, so each call needs its `unwatch`.

        After `on_dead(instance)` nothing is left to unwatch. At most 0.5 s later the first probe is sent.
        """
        death = self._core.watch(instance, self._loop.time())
        if death is not None:
            self._loop.call_soon(self._tell, death)

    def unwatch(self, instance: InstanceAddress) -> None:
        """Take back one `watch`."""
        self._core.unwatch(instance)

    def drain(self) -> None:
        """Tell the others, now and from now on, that this instance takes nothing new."""
        self._draining = True
        self._beat()

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(
            server_id=self._mesh.server_id,
            draining=self._draining,
            associations=dict(islice(self._load().items(), MOST_AES)),
            serves_zone=self._serves_zone,
            dead=self._lately_dead(),
        )

    def _lately_dead(self) -> tuple[Dead, ...]:
        now = self._loop.time()
        self._reported_dead = {
            instance: until for instance, until in self._reported_dead.items() if until > now
        }
        return tuple(map(_named, list(self._reported_dead)[-MOST_DEATHS:]))

    def _beat(self) -> None:
        self._mesh.publish(self._mesh.subjects.live, pack(self._heartbeat()))

    def _greet(self, newcomer: InstanceAddress) -> None:
        self._mesh.publish(self._mesh.subjects.to(newcomer, Kind.GREETING), pack(self._heartbeat()))

    # --- from the mesh

    def _on_live(self, message: Message) -> None:
        newcomer = self._hear(message)
        if newcomer is not None:
            self._greet(newcomer)

    def _on_greeting(self, message: Message) -> None:
        self._hear(message)  # its sender knows us: it needs no greeting

    def _hear(self, message: Message) -> InstanceAddress | None:
        """Take in a heartbeat; return its sender, if we didn't know it."""
        sender = message.sender
        if sender is None or sender == self._mesh.address:
            return None
        try:
            heartbeat, _ = unpack(Heartbeat, message.payload)
        except ForeignVersion as foreign:
            self._tell_of_foreign(sender, foreign.version)
            return None
        except EnvelopeError:
            self._complaints.dropped("a malformed heartbeat", sender)
            return None
        newcomer = None
        if self._core.heartbeat(sender, heartbeat, self._loop.time()):
            newcomer = sender
            self._reported_dead.pop(newcomer, None)
        self._accuse(sender, heartbeat.dead)
        return newcomer

    def _tell_of_foreign(self, sender: InstanceAddress, version: ProtocolVersion) -> None:
        if sender not in self._foreign and len(self._foreign) < _MOST_FOREIGN:
            self._foreign.add(sender)
            log.error(
                "instance %s speaks version %s of the protocol, this one %s: they can't work together",
                sender,
                version,
                VERSION,
            )

    def _on_obituary(self, message: Message) -> None:
        try:
            obituary, _ = unpack(Obituary, message.payload)
        except EnvelopeError:
            self._complaints.dropped("a malformed obituary", message.sender)
            return
        if message.sender is not None:
            self._accuse(message.sender, (obituary.dead,))

    def _accuse(self, sender: InstanceAddress, dead: Iterable[Dead]) -> None:
        """Ping the instances that `sender` says are dead; it may say so of its own zone alone."""
        for named in dead:
            instance = _address_of(named, sender.zone)
            if instance is not None and self._core.obituary(instance):
                self._ping(instance)
                self._doubt_later(_FIRST_DOUBT)

    def _doubt_later(self, pause: float) -> None:
        if self._doubting is None:
            self._doubting = self._loop.call_later(pause, self._doubt, pause)

    def _doubt(self, pause: float) -> None:
        """Ping again the instances that are said to be dead, while neither they nor the server have answered."""
        self._doubting = None
        accused = self._core.accused()
        try:
            for instance in accused:
                self._ping(instance)
        finally:  # whatever happens, the others are pinged the next time
            if accused:
                self._doubt_later(min(2 * pause, self._settings.probe_interval))

    def _ping(self, instance: InstanceAddress) -> None:
        subjects = self._mesh.subjects
        self._mesh.publish(subjects.to(instance, Kind.PING), b"", reply=subjects.pong(instance))

    def _on_ping(self, message: Message) -> None:
        if message.sender is not None:
            pong = self._mesh.subjects.to(message.sender, Kind.PONG)
            self._mesh.publish(pong, self._mesh.server_id.encode())

    def _on_pong(self, message: Message) -> None:
        instance = message.sender
        server_id = message.payload[:64].decode("ascii", "replace")
        if instance is None or (server_id and not server_id.isalnum()):  # what JetStream answers is no id
            return
        now = self._loop.time()
        self._follow_connection()
        if message.no_responders:
            death = self._core.refused(instance, now)
            if death is not None:
                self._report_death(death)
            self._look(now)
        else:
            self._core.answered(instance, server_id, now)

    # --- by the clock

    async def _start(self) -> None:
        """Subscribe, and say that we are there."""
        subjects, subscribe = self._mesh.subjects, self._mesh.subscribe
        await subscribe(subjects.mine(Kind.GREETING), self._on_greeting)
        await subscribe(subjects.all_live, self._on_live)
        await subscribe(subjects.all_dead, self._on_obituary)
        self._answering.append(await subscribe(subjects.mine(Kind.PING), self._on_ping))
        await subscribe(subjects.pong(), self._on_pong)
        self._tick()

    async def _end(self) -> None:
        """Answer no more pings, and say why."""
        if self._doubting is not None:
            self._doubting.cancel()
        for subscription in self._answering:
            await subscription.unsubscribe()
        announce_death(self._mesh, self._mesh.address)

    async def _run(self) -> None:
        while True:
            pause = self._settings.probe_interval
            await anyio.sleep(pause / 2 if self._core.suspects() else pause)
            try:
                self._tick()
            except Exception as exc:  # noqa: BLE001 - the next tick may do better; without ticks nobody is watched
                report("a tick of the failure detector", exc)

    def _tick(self) -> None:
        """Do what is due by the clock."""
        now = self._loop.time()
        if self._follow_connection():
            self._next_beat = now
        if now >= self._next_beat:
            self._beat()
            self._next_beat = now + self._settings.interval
        for instance in self._core.to_probe(now):
            self._ping(instance)
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
            self._report_death(death)

    def _report_death(self, death: Death) -> None:
        # An instance that stops in order says so itself, to all: no news, unless an association depends on it.
        level = (
            logging.DEBUG if death.evidence is Evidence.OBITUARY and not death.watched else logging.WARNING
        )
        log.log(level, "instance %s is dead (%s)", death.instance, death.evidence)
        if death.evidence is not Evidence.SILENCE and death.instance.zone == self._mesh.address.zone:
            self._reported_dead[death.instance] = self._loop.time() + self._settings.deadline
        if death.announce:
            announce_death(self._mesh, death.instance)
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
    *,
    on_dead: Callable[[InstanceAddress], None] | None = None,
    load: Load = dict,
    serves_zone: bool = False,
    settings: LivenessSettings | None = None,
) -> AsyncIterator[Liveness]:
    """Beat and watch until the block ends; then tell everybody that this instance is gone.

    Args:
        mesh: of the instance.
        on_dead: see `Liveness`.
        load: what the heartbeats tell of associations.
        serves_zone: whether they tell that the instance serves its zone's default target.
        settings: the times; by default the settings' defaults.
    """
    liveness = Liveness(mesh, on_dead=on_dead, load=load, serves_zone=serves_zone, settings=settings)
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
            with anyio.CancelScope(shield=True):
                await liveness._end()
    if failure is not None:
        raise failure


def announce_death(mesh: Mesh, instance: InstanceAddress) -> None:
    """Publish the obituary of an instance of our own zone that is known to have ended."""
    mesh.publish(mesh.subjects.dead, pack(Obituary(dead=_named(instance))))


def _named(instance: InstanceAddress) -> Dead:
    return Dead(role=instance.role.value, instance=instance.instance)


def _address_of(dead: Dead, zone: str) -> InstanceAddress | None:
    try:
        return InstanceAddress(zone, Role(dead.role), dead.instance)
    except ValueError:  # a role that a newer version has added
        return None
