"""Who is dead: the rules, without IO and without a clock of their own (docs/architecture.md, Deaths).

An instance is dead when

1. an **obituary** says so, from its own zone: its supervisor's, a witness's, or its own; and our nats-server knows
   nobody who would answer our ping, which is sent at once; or
2. it is **on our nats-server** and that server answers our probes with 503 (no responders), without a break,
   for `confirm` seconds; if the instance was not seen since our own connection stands, not before `grace`
   seconds after that: when a server restarted, others may need longer than we did to come back; or
3. it is **silent**: no heartbeat and no answer for `deadline` seconds, however it is connected.

Of an instance on another server, 503 proves nothing: a leaf or cluster link may be down between us. Its death
is declared by a **witness**: of its own zone, on its own server, every instance always probes the next one by address,
so that each has its witness and none has many, and everyone whose heartbeat is overdue.
When our server was replaced (another id at the same address), who was on the former one is taken to be on the
new one until it says otherwise: it may have died before we heard it there.
Nobody is declared dead while our own connection is down, and time spent so does not count as silence.

Whoever finds by rule 2 a death in its own zone announces it. Whoever knows of one there by rule 1 or 2 repeats it with
its heartbeats for `deadline` seconds: who was cut off when it was announced hears of it then. Rule 3 is an opinion: it
is kept.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.service import Heartbeat

_REMEMBERED = 4096
MOST_ZONE_AES = 16_384
"""AE titles in the last heartbeats of one zone's instances, together: of more, a heartbeat's are not kept."""
_MOST_ACCUSED = 256
"""Instances not heard of that are said to be dead, while we ask them: the oldest gives way."""


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
    max_zone_instances: int = Field(
        default=1_000, gt=0, description="instances remembered of one zone, so that it can't crowd out others"
    )

    @property
    def overdue(self) -> float:
        """Age of a heartbeat from which on a witness probes."""
        return 1.5 * self.interval


class Evidence(StrEnum):
    """How a death is known."""

    OBITUARY = "obituary"
    NO_RESPONDERS = "no-responders"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Death:
    """`announce`: publish an obituary. `watched`: somebody here wants to know."""

    instance: InstanceAddress
    evidence: Evidence
    announce: bool
    watched: bool


class LiveInstance(NamedTuple):
    """Another instance, and what it said last."""

    address: InstanceAddress
    heartbeat: Heartbeat


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
    accused: bool = False
    """An obituary says that it is dead; it has not been asked yet."""
    ae_titles: int = 0
    """In its last heartbeat."""


@dataclass(slots=True)
class _Census:
    """How much is remembered of one zone."""

    instances: int = 0
    ae_titles: int = 0


@dataclass(slots=True)
class FailureDetector:
    """The table of instances and the rules over it. Every method takes the time `now`."""

    settings: LivenessSettings
    own: InstanceAddress
    _peers: dict[InstanceAddress, _Peer] = field(default_factory=dict)
    _dead: dict[InstanceAddress, None] = field(default_factory=dict)
    _accused: dict[InstanceAddress, None] = field(default_factory=dict)
    """Who is said to be dead, and was never heard of here."""
    _zones: dict[str, _Census] = field(default_factory=dict)
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

    def heartbeat(self, instance: InstanceAddress, heartbeat: Heartbeat, now: float) -> bool:
        """An instance said what it does; True: it is new here."""
        if instance == self.own:
            return False
        known = self._peers.get(instance)
        newcomer = known is None or known.heartbeat is None
        peer = self._sign_of_life(instance, heartbeat.server_id, now)
        if peer is not None:
            peer.heartbeat = self._kept(instance, peer, heartbeat)
            peer.heartbeat_at = now
        return newcomer and peer is not None

    def _kept(self, instance: InstanceAddress, peer: _Peer, heartbeat: Heartbeat) -> Heartbeat:
        """Return what is remembered of a heartbeat: an executor's AEs, within the bound of its zone."""
        census = self._zones[instance.zone]
        census.ae_titles -= peer.ae_titles
        titles = len(heartbeat.associations)
        if instance.role is not Role.SCU or census.ae_titles + titles > MOST_ZONE_AES:
            titles = 0
        peer.ae_titles = titles
        census.ae_titles += titles
        told = {sys.intern(ae): count for ae, count in heartbeat.associations.items()} if titles else {}
        return heartbeat.model_copy(update={"associations": told, "dead": ()})

    def answered(self, instance: InstanceAddress, server_id: str, now: float) -> None:
        """An instance answered a probe."""
        self._accused.pop(instance, None)
        if instance in self._peers:
            self._sign_of_life(instance, server_id, now)

    def refused(self, instance: InstanceAddress, now: float) -> Death | None:
        """Our server answered a probe with 503; a death, if an obituary has said so before."""
        if self._up_since is None:
            return None
        peer = self._peers.get(instance)
        if instance in self._accused or (peer is not None and peer.accused):
            return self._bury(instance, Evidence.OBITUARY, announce=False)
        if peer is not None and peer.refused_since is None:
            peer.refused_since = now
        return None

    def obituary(self, instance: InstanceAddress) -> bool:
        """Somebody of its own zone said that `instance` is dead; True: ask it, at once."""
        if instance == self.own or instance in self._dead:
            return False
        peer = self._peers.get(instance)
        if peer is not None:
            peer.accused = True
        else:
            self._accused[instance] = None
            if len(self._accused) > _MOST_ACCUSED:
                del self._accused[next(iter(self._accused))]
        return True

    def accused(self) -> list[InstanceAddress]:
        """Who is said to be dead, and neither answers nor is known to our server to be gone."""
        return [*self._accused, *(instance for instance, peer in self._peers.items() if peer.accused)]

    # --- who cares

    def watch(self, instance: InstanceAddress, now: float) -> Death | None:
        """Care for `instance` once more; a death, if it is known to be dead already."""
        if instance in self._dead:
            return Death(instance, Evidence.OBITUARY, announce=False, watched=True)
        peer = self._peers.get(instance)
        if peer is None:
            peer = self._add(instance, now)
        peer.watchers += 1
        return None

    def unwatch(self, instance: InstanceAddress) -> None:
        """Care once less."""
        peer = self._peers.get(instance)
        if peer is not None and peer.watchers > 0:
            peer.watchers -= 1
            if peer.watchers == 0 and not peer.heard:
                self._remove(instance)

    # --- what follows

    def instances(self) -> list[LiveInstance]:
        """The last heartbeat of every instance that is not known to be dead."""
        return [
            LiveInstance(instance, peer.heartbeat)
            for instance, peer in self._peers.items()
            if peer.heartbeat is not None
        ]

    def watched(self) -> int:
        """How many instances somebody here cares for."""
        return sum(peer.watchers > 0 for peer in self._peers.values())

    def suspects(self) -> bool:
        """Whether a series of 503 is under way: then look more often."""
        return any(peer.refused_since is not None for peer in self._peers.values())

    def to_probe(self, now: float) -> list[InstanceAddress]:
        """Return the instances to probe now, and note that they are."""
        if self._up_since is None:
            return []
        # A little early is better than a whole turn late.
        before = now - 0.8 * self.settings.probe_interval
        soon = now - 0.4 * self.settings.probe_interval
        due = []
        ward = self._ward()
        for instance, peer in self._peers.items():
            if not (peer.watchers or instance == ward or self._is_overdue(instance, peer, now)):
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
                announce = instance.zone == self.own.zone
                found.append(self._bury(instance, Evidence.NO_RESPONDERS, announce=announce))
            elif now - max(peer.seen, up_since) >= self.settings.deadline:
                found.append(self._bury(instance, Evidence.SILENCE, announce=False))
        return found

    def _refused_long_enough(self, peer: _Peer, up_since: float, now: float) -> bool:
        if peer.refused_since is None or peer.server_id != self._server_id:
            return False
        if peer.heard and peer.seen > up_since:
            return now - peer.refused_since >= self.settings.confirm
        return now - up_since >= self.settings.grace and now - peer.refused_since >= self.settings.confirm

    def _ward(self) -> InstanceAddress | None:
        """Return whom we always probe: of our zone and server the next one by address, and after the last the first."""
        others = [instance for instance, peer in self._peers.items() if self._is_neighbour(instance, peer)]
        return min((other for other in others if other > self.own), default=min(others, default=None))

    def _is_neighbour(self, instance: InstanceAddress, peer: _Peer) -> bool:
        return (
            peer.heartbeat is not None
            and instance.zone == self.own.zone
            and peer.server_id == self._server_id
        )

    def _is_overdue(self, instance: InstanceAddress, peer: _Peer, now: float) -> bool:
        return self._is_neighbour(instance, peer) and now - peer.heartbeat_at > self.settings.overdue

    def _sign_of_life(self, instance: InstanceAddress, server_id: str, now: float) -> _Peer | None:
        self._dead.pop(instance, None)
        self._accused.pop(instance, None)
        peer = self._peers.get(instance)
        if peer is None:
            of_zone = self._zones[instance.zone].instances if instance.zone in self._zones else 0
            settings = self.settings
            if len(self._peers) >= settings.max_instances or of_zone >= settings.max_zone_instances:
                return None
            peer = self._add(instance, now)
        peer.seen = now
        peer.heard = True
        peer.server_id = server_id
        peer.refused_since = None
        peer.accused = False
        return peer

    def _add(self, instance: InstanceAddress, now: float) -> _Peer:
        peer = self._peers[instance] = _Peer(seen=now)
        self._zones.setdefault(instance.zone, _Census()).instances += 1
        return peer

    def _remove(self, instance: InstanceAddress) -> _Peer | None:
        peer = self._peers.pop(instance, None)
        if peer is not None:
            census = self._zones[instance.zone]
            census.instances -= 1
            census.ae_titles -= peer.ae_titles
            if not census.instances:
                del self._zones[instance.zone]
        return peer

    def _bury(self, instance: InstanceAddress, evidence: Evidence, *, announce: bool) -> Death:
        peer = self._remove(instance)
        self._accused.pop(instance, None)
        self._dead[instance] = None
        while len(self._dead) > _REMEMBERED:
            del self._dead[next(iter(self._dead))]
        return Death(instance, evidence, announce=announce, watched=peer is not None and peer.watchers > 0)
