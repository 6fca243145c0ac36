"""What each role of a zone may publish and subscribe to: the least that lets it do its work.

nats-server enforces these lists, one user for each zone and role. So the zone and the role in the last three tokens
of a subject are the sender's own. Nothing here spells a subject: `schemas.subjects` does.

Two things follow from one model: a user's lists, and what one zone's services publish for those of another zone, which
is what crosses a leaf link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dimse_mesh.nats_server.permissions_durable import PlacedSpool, durable_hearing, durable_publishing
from dimse_mesh.schemas.addresses import FRONT_ENDS, Role
from dimse_mesh.schemas.event_subjects import all_events, event_grant, event_interest, event_replies
from dimse_mesh.schemas.events import EventKind
from dimse_mesh.schemas.service import HANDLERS, ServiceName
from dimse_mesh.schemas.spool_subjects import DestinationKind, Share, SpoolSubjects
from dimse_mesh.schemas.subjects import (
    TOOLS_ASK,
    TOOLS_INBOX,
    Kind,
    ServiceSubjects,
    SubjectPatterns,
    described_at,
    jetstream_api,
)

_EVENTS = {
    Role.ASSOCIATION: (
        EventKind.ASSOCIATION_OPENED,
        EventKind.ASSOCIATION_ENDED,
        EventKind.ASSOCIATION_REJECTED,
        EventKind.OBJECT_ACCEPTED,
        EventKind.COMMITMENT_REPORTED,
    ),
    Role.SCU: (EventKind.OBJECT_STORED,),
    Role.DELIVERY: (EventKind.OBJECT_STORED,),
    Role.STORE: (EventKind.STUDY_QUIET,),
}
"""Events that a role publishes about its own zone."""
_SETTLED = (EventKind.OBJECT_DELIVERED, EventKind.OBJECT_FAILED)
"""Events that a delivery service publishes about the zone whose objects it takes."""
_FOLLOWED = (EventKind.OBJECT_STORED, EventKind.OBJECT_ACCEPTED, EventKind.STUDY_QUIET)
"""Events of its own zone that a C-STORE handler follows, to tell when a study is quiet."""
_SERVICES = {Role(service.value): service for service in ServiceName}


@dataclass(frozen=True, slots=True)
class ZoneFacts:
    """What the permissions of a zone depend on.

    Args:
        root: `subject_root` of its configuration.
        ae_titles: that its executors serve.
        has_default: one of them is the zone's default target.
        spools: of its own durable routes.
        shares: what several of their destinations share.
        hosted: handlers that run in the processes of a role, which so has their permissions, too.
        domain: JetStream domain of the nats-servers that keep those.
        incoming: spools, of any zone, whose destinations it serves; `meeting` finds them.
        has_events: its services publish events.
    """

    root: str
    zone: str
    ae_titles: tuple[str, ...] = ()
    has_default: bool = False
    spools: tuple[SpoolSubjects, ...] = ()
    shares: tuple[Share, ...] = ()
    domain: str | None = None
    hosted: Mapping[Role, tuple[ServiceName, ...]] = field(default_factory=dict)
    incoming: tuple[PlacedSpool, ...] = ()
    has_events: bool = False

    @property
    def placed(self) -> tuple[PlacedSpool, ...]:
        """Its own spools, and where they are kept."""
        streams = (*self.spools, *(share.spool for share in self.shares))
        return tuple(PlacedSpool(spool, self.domain, self.has_events) for spool in streams)

    def placed_for(self, reader: ZoneFacts) -> tuple[PlacedSpool, ...]:
        """Those of its own spools whose destinations another zone serves, and what these share with others."""
        streams = (
            *(spool for spool in self.spools if reader.is_for(spool)),
            *(share.spool for share in self.shares if any(map(reader.is_for, share.members))),
        )
        return tuple(PlacedSpool(spool, self.domain, self.has_events) for spool in streams)

    def is_for(self, spool: SpoolSubjects) -> bool:
        """Tell whether this zone reads a spool: its destination is an AE of it, or it is on its way from there."""
        if spool.root != self.root:
            return False
        if spool.is_on_its_way:
            return spool.zone == self.zone
        if spool.kind is DestinationKind.ZONE:
            return self.has_default and spool.name == self.zone
        return spool.name in self.ae_titles


def meeting(zones: Sequence[ZoneFacts]) -> list[ZoneFacts]:
    """Return the facts of zones that meet on one bus, each with the spools of all of them that are for it."""
    return [
        replace(reader, incoming=tuple(placed for zone in zones for placed in zone.placed_for(reader)))
        for reader in zones
    ]


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects with NATS's wildcards. `subject queue` permits a subscription in that queue group alone."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]

    def __or__(self, other: Permissions) -> Permissions:
        """Return what either permits."""
        return Permissions(
            tuple(dict.fromkeys((*self.publish, *other.publish))),
            tuple(dict.fromkeys((*self.subscribe, *other.subscribe))),
        )


@dataclass(frozen=True, slots=True)
class _Grant:
    """Leave to publish to those of a zone (None: of every zone). `home`: of the sender's own zone alone."""

    to: Callable[[str | None], str]
    home: bool = False


def permissions_of(facts: ZoneFacts, role: Role) -> Permissions:
    """Return what the instances of `role` in a zone may do, the handlers that they host included."""
    own = _permissions_of(facts, role)
    for handler in facts.hosted.get(role, ()):
        own |= _permissions_of(facts, Role(handler.value))
    return own


def _permissions_of(facts: ZoneFacts, role: Role) -> Permissions:
    patterns = SubjectPatterns(facts.root, facts.zone, role)
    publish = [grant.to(facts.zone if grant.home else None) for grant in _grants(patterns)]
    subscribe = [patterns.mine, *_shared(facts, role)]
    if role in FRONT_ENDS:  # whichever AE a client names: nobody serves it, or somebody does
        publish += [patterns.ae_open(), patterns.zone_open()]
    publish += dict.fromkeys(durable_publishing(role, own=facts.placed, incoming=facts.incoming))
    subscribe += dict.fromkeys(durable_hearing(role, own=facts.placed, incoming=facts.incoming))
    if role is Role.STORE and not facts.placed:  # for spools whose routes have all been removed
        publish.append(f"{jetstream_api(facts.domain)}.STREAM.LIST")
    if role is Role.DELIVERY:
        publish += dict.fromkeys(_settled(facts.zone, facts.incoming))
    if facts.has_events:
        publish += [
            event_grant(facts.root, facts.zone, kind, sender_zone=facts.zone, role=role)
            for kind in _EVENTS.get(role, ())
        ]
        if role is Role.COMMAND:
            subscribe.append(event_interest(facts.root, facts.zone, EventKind.OBJECT_STORED))
            publish += [placed.reading_events() for placed in facts.placed[:1]]
        if role is Role.STORE:
            subscribe += [event_interest(facts.root, facts.zone, kind) for kind in _FOLLOWED]
    if role is not Role.SUPERVISOR:
        shared = ServiceSubjects(facts.root)
        subscribe += [shared.all_live, shared.all_dead]
    if role in _SERVICES:
        publish.append(TOOLS_INBOX)
        subscribe += described_at(_SERVICES[role])
    return Permissions(tuple(publish), tuple(subscribe))


def permissions_of_monitor(root: str) -> Permissions:
    """Return what a tool may do that only watches, such as `nats micro ls`."""
    heard = ServiceSubjects(root)
    return Permissions((TOOLS_ASK,), (TOOLS_INBOX, heard.all_live, heard.all_dead))


def permissions_of_listener(facts: ZoneFacts) -> Permissions:
    """Return what a program may do that acts on the events of a zone."""
    replies = event_replies(facts.zone)
    read = [placed.reading_events() for placed in facts.placed[:1]]
    return Permissions((replies, *read), (all_events(facts.root, facts.zone), replies))


def crossing(source: ZoneFacts, destination: ZoneFacts) -> tuple[str, ...]:
    """Return what the services of one zone publish for those of another."""
    if source.root != destination.root:
        return ()
    found: list[str] = []
    for role in Role:
        patterns = SubjectPatterns(source.root, source.zone, role)
        found += [grant.to(destination.zone) for grant in _grants(patterns) if not grant.home]
        if role in FRONT_ENDS:
            found += map(patterns.ae_open, destination.ae_titles)
            if destination.has_default:
                found.append(patterns.zone_open(destination.zone))
    found += _deliveries(source, destination)
    return tuple(dict.fromkeys(found))


def _deliveries(source: ZoneFacts, destination: ZoneFacts) -> Iterator[str]:
    """Yield what crosses for durable routes, where either zone keeps what is for the other one."""
    there = destination.placed_for(source)
    yield from durable_publishing(Role.DELIVERY, own=(), incoming=there)
    yield from _settled(source.zone, there)
    here = source.placed_for(destination)
    yield from durable_hearing(Role.DELIVERY, own=(), incoming=here)
    if here:  # replies, which nats-server alone publishes
        yield SubjectPatterns(destination.root, destination.zone, Role.DELIVERY).jetstream


def _settled(zone: str, incoming: Sequence[PlacedSpool]) -> Iterator[str]:
    """Yield where the delivery service of a zone tells what has become of the objects of these spools."""
    for placed in incoming:
        if placed.has_events:
            for kind in _SETTLED:
                yield event_grant(
                    placed.spool.root, placed.spool.zone, kind, sender_zone=zone, role=Role.DELIVERY
                )


def _grants(patterns: SubjectPatterns) -> Iterator[_Grant]:
    """Yield what a role publishes, but for openings: they are for whoever serves an AE."""
    role = patterns.role
    yield _Grant(lambda _: patterns.dead)
    if role is Role.SUPERVISOR:
        return
    yield _Grant(lambda _: patterns.live)
    for kind in (Kind.GREETING, Kind.PING, Kind.PONG):
        yield _to(patterns, kind)
    if role in FRONT_ENDS:
        yield _to(patterns, Kind.LINK, Role.SCU)
        yield _to(patterns, Kind.DATA, Role.SCU)
        for service in HANDLERS:
            yield _operations(patterns, service, home=True)
        if role is Role.ASSOCIATION:
            yield _to(patterns, Kind.COMMITMENT, Role.DELIVERY, home=True)
    elif role is Role.DELIVERY:
        yield _to(patterns, Kind.COMMITMENT, Role.ASSOCIATION, home=True)
    elif role is Role.SCU:
        for front_end in sorted(FRONT_ENDS):
            yield _to(patterns, Kind.LINK, front_end)
            yield _to(patterns, Kind.DATA, front_end)
            yield _replies(patterns, front_end, home=False)
        for service in HANDLERS:
            yield _operations(patterns, service, home=False)
        yield _to(patterns, Kind.SLOTS, Role.SCU, home=True)
        yield _to(patterns, Kind.CALLBACK, Role.ASSOCIATION, home=True)
        yield _replies(patterns, Role.SCU, home=True)
    else:
        for kind in (Kind.OP, Kind.REFUSED):
            yield _to(patterns, kind, Role.SCU)
            for front_end in sorted(FRONT_ENDS):
                yield _to(patterns, kind, front_end, home=True)


def _to(patterns: SubjectPatterns, kind: Kind, role: Role | None = None, *, home: bool = False) -> _Grant:
    return _Grant(lambda zone: patterns.to(kind, zone=zone, role=role), home)


def _replies(patterns: SubjectPatterns, role: Role, *, home: bool) -> _Grant:
    return _Grant(lambda zone: patterns.reply(zone=zone, role=role), home)


def _operations(patterns: SubjectPatterns, service: ServiceName, *, home: bool) -> _Grant:
    return _Grant(lambda zone: patterns.operations(service, zone), home)


def _shared(facts: ZoneFacts, role: Role) -> Iterator[str]:
    """Yield what a role hears as a member of a queue group."""
    subjects = ServiceSubjects(facts.root)
    if role is Role.SCU:
        served = [subjects.ae_open(title) for title in facts.ae_titles]
        if facts.has_default:
            served.append(subjects.zone_open(facts.zone))
        for subject in served:
            yield f"{subject.interest} {subject.queue}"
    elif role in _SERVICES and _SERVICES[role] in HANDLERS:
        operations = subjects.operations(facts.zone, _SERVICES[role])
        yield f"{operations.interest} {operations.queue}"
