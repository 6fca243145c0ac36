"""Which instances are dead: the rules, without IO and without a clock of their own (docs/architecture.md, Deaths).

An instance is dead when

1. an **obituary** from its own zone says so (its supervisor's, a witness's, or its own), and our nats-server answers
   the ping that we then send at once with 503: nobody there subscribes to it; or
2. it is **on our nats-server**, and that server answers our probes with 503 for `confirm` seconds without a break.
   After a restart of the server, instances may need longer than we did to come back: one that we have not seen since
   then is not dead before `grace` seconds have passed; or
3. it is **silent**: no heartbeat and no answer came for `deadline` seconds, wherever it is connected.

For an instance on another server 503 proves nothing: a leaf or cluster link between us may be down. A **witness**
declares its death: an instance of the same zone on the same server. Every instance probes the next one by address
there, so each has one witness, and it probes those whose heartbeats are overdue.
When our server was replaced (another id at the same address), instances that were on the former one are taken to be on
the new one until they say otherwise: they may have died before we heard them there.
No instance is declared dead while our own connection is down, and that time does not count as silence.

An instance that finds a death of its own zone by rule 2 announces it. One that knows of such a death by rule 1 or 2
repeats it in its heartbeats for `deadline` seconds, for instances that were cut off when it was announced. What rule 3
says is not passed on.
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
    """`announce`: publish an obituary. `watched`: an association here depends on the instance."""

    instance: InstanceAddress
    evidence: Evidence
    announce: bool
    watched: bool


class LiveInstance(NamedTuple):
    """Another instance, and what it said last."""

    address: InstanceAddress
    heartbeat: Heartbeat


@dataclass(slots=True)
class _Record:
    seen: float
    """When it last showed a sign of life, or when we began to watch it."""
    heard: bool = False
    """Whether it has ever shown one."""
    server_id: str = ""
    heartbeat: Heartbeat | None = None
    heartbeat_at: float = 0.0
    watchers: int = 0
    refused_since: float | None = None
    """When the present series of 503 began."""
    probed_at: float = float("-inf")
    accused: bool = False
    """Whether an obituary says that it is dead, and no answer to our ping has come yet."""
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
    _records: dict[InstanceAddress, _Record] = field(default_factory=dict)
    _dead: dict[InstanceAddress, None] = field(default_factory=dict)
    _accused: dict[InstanceAddress, None] = field(default_factory=dict)
    """Instances that an obituary names and that we never heard of."""
    _zones: dict[str, _Census] = field(default_factory=dict)
    _up_since: float | None = None
    _server_id: str = ""

    # --- what was learnt

    def connected(self, server_id: str, now: float, *, replaced: bool = False) -> None:
        """Our control connection came (back); `replaced`: at the address where the former server was."""
        former, self._server_id = self._server_id, server_id
        self._up_since = now
        for record in self._records.values():
            record.refused_since = None
            if replaced and record.server_id == former:
                record.server_id = server_id

    def disconnected(self) -> None:
        """Our control connection is gone."""
        self._up_since = None
        for record in self._records.values():
            record.refused_since = None

    def heartbeat(self, instance: InstanceAddress, heartbeat: Heartbeat, now: float) -> bool:
        """An instance said what it does; True: it is new here."""
        if instance == self.own:
            return False
        known = self._records.get(instance)
        newcomer = known is None or known.heartbeat is None
        record = self._sign_of_life(instance, heartbeat.server_id, now)
        if record is not None:
            record.heartbeat = self._kept(instance, record, heartbeat)
            record.heartbeat_at = now
        return newcomer and record is not None

    def _kept(self, instance: InstanceAddress, record: _Record, heartbeat: Heartbeat) -> Heartbeat:
        """Return what is remembered of a heartbeat: an executor's AEs, within the bound of its zone."""
        census = self._zones[instance.zone]
        census.ae_titles -= record.ae_titles
        titles = len(heartbeat.associations)
        if instance.role is not Role.SCU or census.ae_titles + titles > MOST_ZONE_AES:
            titles = 0
        record.ae_titles = titles
        census.ae_titles += titles
        told = {sys.intern(ae): count for ae, count in heartbeat.associations.items()} if titles else {}
        return heartbeat.model_copy(update={"associations": told, "dead": ()})

    def answered(self, instance: InstanceAddress, server_id: str, now: float) -> None:
        """An instance answered a probe."""
        self._accused.pop(instance, None)
        if instance in self._records:
            self._sign_of_life(instance, server_id, now)

    def refused(self, instance: InstanceAddress, now: float) -> Death | None:
        """Our server answered a probe with 503; a death, if an obituary has said so before."""
        if self._up_since is None:
            return None
        record = self._records.get(instance)
        if instance in self._accused or (record is not None and record.accused):
            return self._bury(instance, Evidence.OBITUARY, announce=False)
        if record is not None and record.refused_since is None:
            record.refused_since = now
        return None

    def obituary(self, instance: InstanceAddress) -> bool:
        """Somebody of its own zone said that `instance` is dead; True: ask it, at once."""
        if instance == self.own or instance in self._dead:
            return False
        record = self._records.get(instance)
        if record is not None:
            record.accused = True
        else:
            self._accused[instance] = None
            if len(self._accused) > _MOST_ACCUSED:
                del self._accused[next(iter(self._accused))]
        return True

    def accused(self) -> list[InstanceAddress]:
        """Return the instances that an obituary names and whose ping neither they nor our server have answered."""
        return [*self._accused, *(instance for instance, record in self._records.items() if record.accused)]

    # --- what is watched

    def watch(self, instance: InstanceAddress, now: float) -> Death | None:
        """Count one more watcher of `instance`; return its death, if that is known already."""
        if instance in self._dead:
            return Death(instance, Evidence.OBITUARY, announce=False, watched=True)
        record = self._records.get(instance)
        if record is None:
            record = self._add(instance, now)
        record.watchers += 1
        return None

    def unwatch(self, instance: InstanceAddress) -> None:
        """Count one watcher less."""
        record = self._records.get(instance)
        if record is not None and record.watchers > 0:
            record.watchers -= 1
            if record.watchers == 0 and not record.heard:
                self._remove(instance)

    # --- what follows

    def instances(self) -> list[LiveInstance]:
        """The last heartbeat of every instance that is not known to be dead."""
        return [
            LiveInstance(instance, record.heartbeat)
            for instance, record in self._records.items()
            if record.heartbeat is not None
        ]

    def watched(self) -> int:
        """Return how many instances are watched."""
        return sum(record.watchers > 0 for record in self._records.values())

    def suspects(self) -> bool:
        """Whether a series of 503 is under way: then look more often."""
        return any(record.refused_since is not None for record in self._records.values())

    def to_probe(self, now: float) -> list[InstanceAddress]:
        """Return the instances to probe now, and note that they are."""
        if self._up_since is None:
            return []
        # A little early is better than a whole turn late.
        before = now - 0.8 * self.settings.probe_interval
        soon = now - 0.4 * self.settings.probe_interval
        due = []
        neighbour = self._neighbour_to_probe()
        for instance, record in self._records.items():
            if not (record.watchers or instance == neighbour or self._is_overdue(instance, record, now)):
                continue
            if record.probed_at <= (soon if record.refused_since is not None else before):
                record.probed_at = now
                due.append(instance)
        return due

    def deaths(self, now: float) -> list[Death]:
        """Return the instances that are dead by rules 2 and 3, and forget them."""
        up_since = self._up_since
        if up_since is None:
            return []
        found = []
        for instance, record in list(self._records.items()):
            if self._refused_long_enough(record, up_since, now):
                announce = instance.zone == self.own.zone
                found.append(self._bury(instance, Evidence.NO_RESPONDERS, announce=announce))
            elif now - max(record.seen, up_since) >= self.settings.deadline:
                found.append(self._bury(instance, Evidence.SILENCE, announce=False))
        return found

    def _refused_long_enough(self, record: _Record, up_since: float, now: float) -> bool:
        if record.refused_since is None or record.server_id != self._server_id:
            return False
        if record.heard and record.seen > up_since:
            return now - record.refused_since >= self.settings.confirm
        return now - up_since >= self.settings.grace and now - record.refused_since >= self.settings.confirm

    def _neighbour_to_probe(self) -> InstanceAddress | None:
        """Return the instance whose witness we are: the next one by address of our zone on our server, in a circle."""
        others = [
            instance for instance, record in self._records.items() if self._is_neighbour(instance, record)
        ]
        return min((other for other in others if other > self.own), default=min(others, default=None))

    def _is_neighbour(self, instance: InstanceAddress, record: _Record) -> bool:
        return (
            record.heartbeat is not None
            and instance.zone == self.own.zone
            and record.server_id == self._server_id
        )

    def _is_overdue(self, instance: InstanceAddress, record: _Record, now: float) -> bool:
        return self._is_neighbour(instance, record) and now - record.heartbeat_at > self.settings.overdue

    def _sign_of_life(self, instance: InstanceAddress, server_id: str, now: float) -> _Record | None:
        self._dead.pop(instance, None)
        self._accused.pop(instance, None)
        record = self._records.get(instance)
        if record is None:
            of_zone = self._zones[instance.zone].instances if instance.zone in self._zones else 0
            settings = self.settings
            if len(self._records) >= settings.max_instances or of_zone >= settings.max_zone_instances:
                return None
            record = self._add(instance, now)
        record.seen = now
        record.heard = True
        record.server_id = server_id
        record.refused_since = None
        record.accused = False
        return record

    def _add(self, instance: InstanceAddress, now: float) -> _Record:
        record = self._records[instance] = _Record(seen=now)
        self._zones.setdefault(instance.zone, _Census()).instances += 1
        return record

    def _remove(self, instance: InstanceAddress) -> _Record | None:
        record = self._records.pop(instance, None)
        if record is not None:
            census = self._zones[instance.zone]
            census.instances -= 1
            census.ae_titles -= record.ae_titles
            if not census.instances:
                del self._zones[instance.zone]
        return record

    def _bury(self, instance: InstanceAddress, evidence: Evidence, *, announce: bool) -> Death:
        record = self._remove(instance)
        self._accused.pop(instance, None)
        self._dead[instance] = None
        while len(self._dead) > _REMEMBERED:
            del self._dead[next(iter(self._dead))]
        return Death(
            instance, evidence, announce=announce, watched=record is not None and record.watchers > 0
        )
