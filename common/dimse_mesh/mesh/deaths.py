"""Who is dead: the rules, without IO and without a clock of their own (docs/architecture.md, Deaths).

An instance is dead when

1. an **obituary** says so: its supervisor's, a witness's, or its own; or
2. it is **on our nats-server** and that server answers our probes with 503 (no responders), without a break,
   for `confirm` seconds; if the instance was not seen since our own connection stands, not before `grace`
   seconds after that: when a server restarted, others may need longer than we did to come back; or
3. it is **silent**: no heartbeat and no answer for `deadline` seconds, however it is connected.

Of an instance on another server, 503 proves nothing: a leaf or cluster link may be down between us. Its death
is declared by a **witness**: of its own zone, on its own server, every instance always probes the next one by id, so
that each has its witness and none has many, and everyone whose heartbeat is overdue.
When our server was replaced (another id at the same address), who was on the former one is taken to be on the
new one until it says otherwise: it may have died before we heard it there.
Nobody is declared dead while our own connection is down, and time spent so does not count as silence.

Whoever finds a death by rule 2 announces it. Whoever knows of one by rule 1 or 2 repeats it with its heartbeats for
`deadline` seconds: who was cut off when it was announced hears of it then. Rule 3 is an opinion: it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from dimse_mesh.schemas.service import Heartbeat

_REMEMBERED = 4096


class LivenessSettings(BaseModel):
    """The times of the rules, in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    interval: float = Field(default=2.0, gt=0, description="between heartbeats")
    probe_interval: float = Field(default=0.5, gt=0, description="between probes of a watched instance")
    confirm: float = Field(
        default=1.2, gt=0, description="how long 503 must last, of an instance seen before"
    )
    grace: float = Field(default=5.0, gt=0, description="how long 503 must last after our connection came")
    deadline: float = Field(default=30.0, gt=0, description="how long silence must last")
    max_instances: int = Field(
        default=10_000, gt=0, description="instances remembered; more are not watched over"
    )

    @property
    def overdue(self) -> float:
        """Age of a heartbeat from which on a witness probes."""
        return 1.5 * self.interval


class Cause(StrEnum):
    """How a death is known."""

    OBITUARY = "obituary"
    NO_RESPONDERS = "no-responders"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Death:
    """`announce`: publish an obituary. `watched`: somebody here wants to know."""

    instance: str
    cause: Cause
    announce: bool
    watched: bool


@dataclass(slots=True)
class _Peer:
    seen: float
    """When it last showed a sign of life, or when we began to care."""
    heard: bool = False
    """It ever showed one."""
    server_id: str = ""
    heartbeat: Heartbeat | None = None
    heartbeat_at: float = 0.0
    watchers: int = 0
    refused_since: float | None = None
    """Begin of the unbroken series of 503."""
    probed_at: float = float("-inf")


@dataclass(slots=True)
class DeathWatch:
    """The table of instances and the rules over it. Every method takes the time `now`."""

    settings: LivenessSettings
    instance: str
    zone: str
    _peers: dict[str, _Peer] = field(default_factory=dict)
    _dead: dict[str, None] = field(default_factory=dict)
    _up_since: float | None = None
    _server_id: str = ""

    # --- what was learnt

    def connected(self, server_id: str, now: float, *, replaced: bool = False) -> None:
        """Our control connection came (back); `replaced`: at the address where the former server was."""
        former, self._server_id = self._server_id, server_id
        self._up_since = now
        for peer in self._peers.values():
            peer.refused_since = None
            if replaced and peer.server_id == former:
                peer.server_id = server_id

    def disconnected(self) -> None:
        """Our control connection is gone."""
        self._up_since = None
        for peer in self._peers.values():
            peer.refused_since = None

    def heartbeat(self, heartbeat: Heartbeat, now: float) -> bool:
        """An instance said what it does; True: it is new here."""
        if heartbeat.instance == self.instance:
            return False
        known = self._peers.get(heartbeat.instance)
        newcomer = known is None or known.heartbeat is None
        peer = self._sign_of_life(heartbeat.instance, heartbeat.server_id, now)
        if peer is not None:
            peer.heartbeat = heartbeat
            peer.heartbeat_at = now
        return newcomer and peer is not None

    def answered(self, instance: str, server_id: str, now: float) -> None:
        """An instance answered a probe."""
        if instance in self._peers:
            self._sign_of_life(instance, server_id, now)

    def refused(self, instance: str, now: float) -> None:
        """Our server answered a probe with 503."""
        peer = self._peers.get(instance)
        if peer is not None and peer.refused_since is None and self._up_since is not None:
            peer.refused_since = now

    def obituary(self, instance: str) -> Death | None:
        """Somebody said that `instance` is dead; None: we knew, or it is us."""
        if instance == self.instance or instance in self._dead:
            return None
        return self._bury(instance, Cause.OBITUARY, announce=False)

    # --- who cares

    def watch(self, instance: str, now: float) -> Death | None:
        """Care for `instance` once more; a death, if it is known to be dead already."""
        if instance in self._dead:
            return Death(instance, Cause.OBITUARY, announce=False, watched=True)
        peer = self._peers.get(instance)
        if peer is None:
            peer = self._peers[instance] = _Peer(seen=now)
        peer.watchers += 1
        return None

    def unwatch(self, instance: str) -> None:
        """Care once less."""
        peer = self._peers.get(instance)
        if peer is not None and peer.watchers > 0:
            peer.watchers -= 1
            if peer.watchers == 0 and not peer.heard:
                del self._peers[instance]

    # --- what follows

    def heartbeats(self) -> list[Heartbeat]:
        """The last heartbeat of every instance that is not known to be dead."""
        return [peer.heartbeat for peer in self._peers.values() if peer.heartbeat is not None]

    def watched(self) -> int:
        """How many instances somebody here cares for."""
        return sum(peer.watchers > 0 for peer in self._peers.values())

    def suspects(self) -> bool:
        """Whether a series of 503 is under way: then look more often."""
        return any(peer.refused_since is not None for peer in self._peers.values())

    def to_probe(self, now: float) -> list[str]:
        """Return the instances to probe now, and note that they are."""
        if self._up_since is None:
            return []
        # A little early is better than a whole turn late.
        before = now - 0.8 * self.settings.probe_interval
        soon = now - 0.4 * self.settings.probe_interval
        due = []
        ward = self._ward()
        for instance, peer in self._peers.items():
            if not (peer.watchers or instance == ward or self._is_overdue(peer, now)):
                continue
            if peer.probed_at <= (soon if peer.refused_since is not None else before):
                peer.probed_at = now
                due.append(instance)
        return due

    def deaths(self, now: float) -> list[Death]:
        """Return who is dead by rules 2 and 3, and forget them."""
        up_since = self._up_since
        if up_since is None:
            return []
        found = []
        for instance, peer in list(self._peers.items()):
            if self._refused_long_enough(peer, up_since, now):
                found.append(self._bury(instance, Cause.NO_RESPONDERS, announce=True))
            elif now - max(peer.seen, up_since) >= self.settings.deadline:
                found.append(self._bury(instance, Cause.SILENCE, announce=False))
        return found

    def _refused_long_enough(self, peer: _Peer, up_since: float, now: float) -> bool:
        if peer.refused_since is None or peer.server_id != self._server_id:
            return False
        if peer.heard and peer.seen > up_since:
            return now - peer.refused_since >= self.settings.confirm
        return now - up_since >= self.settings.grace and now - peer.refused_since >= self.settings.confirm

    def _ward(self) -> str | None:
        """Return whom we always probe: of our zone and server the next one by id, and after the last the first."""
        others = [instance for instance, peer in self._peers.items() if self._is_neighbour(peer)]
        return min((other for other in others if other > self.instance), default=min(others, default=None))

    def _is_neighbour(self, peer: _Peer) -> bool:
        return (
            peer.heartbeat is not None
            and peer.heartbeat.zone == self.zone
            and peer.server_id == self._server_id
        )

    def _is_overdue(self, peer: _Peer, now: float) -> bool:
        return self._is_neighbour(peer) and now - peer.heartbeat_at > self.settings.overdue

    def _sign_of_life(self, instance: str, server_id: str, now: float) -> _Peer | None:
        self._dead.pop(instance, None)
        peer = self._peers.get(instance)
        if peer is None:
            if len(self._peers) >= self.settings.max_instances:
                return None
            peer = self._peers[instance] = _Peer(seen=now)
        peer.seen = now
        peer.heard = True
        peer.server_id = server_id
        peer.refused_since = None
        return peer

    def _bury(self, instance: str, cause: Cause, *, announce: bool) -> Death:
        peer = self._peers.pop(instance, None)
        self._dead[instance] = None
        while len(self._dead) > _REMEMBERED:
            del self._dead[next(iter(self._dead))]
        return Death(instance, cause, announce=announce, watched=peer is not None and peer.watchers > 0)
