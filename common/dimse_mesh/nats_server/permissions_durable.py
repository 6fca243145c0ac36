"""What durable delivery needs on the bus: its own subjects, and JetStream's API for the streams that are its concern.

A stream's name is one token of the API's subjects, so a permission names one stream, and one subject where the newest
message of that is read. The keeper (in the C-STORE handler) makes the spools of its zone, looks how much waits, and
removes pieces that no manifest tells of. The front-ends write, and neither read, remove nor make anything. The delivery
service of a destination's zone reads and removes what is for its own AEs, that of a source zone what waits for hooks;
the `queue` commands of the source zone do both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.event_subjects import event_stream
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.spool_subjects import (
    PROBE_OBJECT,
    DestinationKind,
    SpoolSubjects,
    StateKind,
    commitment_request,
    commitment_stream,
    origin_stream,
    study_origin,
)
from dimse_mesh.schemas.subjects import jetstream_api


@dataclass(frozen=True, slots=True)
class PlacedSpool:
    """A spool, and the JetStream domain of the nats-servers that keep it; None: they have none.

    Attributes:
        has_events: its zone publishes events, and keeps them there, too.
    """

    spool: SpoolSubjects
    domain: str | None = None
    has_events: bool = False

    def api(self, *verbs: str) -> Iterator[str]:
        """Yield requests of JetStream's API about the spool's own stream."""
        return (f"{jetstream_api(self.domain)}.{verb}.{self.spool.stream}" for verb in verbs)

    def making(self) -> Iterator[str]:
        """Yield the requests that make a spool, and the streams of its zone that go with it."""
        spool = self.spool
        streams = [spool.stream, spool.state_stream, spool.receipt_stream, self._commitments]
        if spool.kind is DestinationKind.ORIGIN:
            streams.append(origin_stream(spool.root, spool.zone))
        if self.has_events:
            streams.append(self._events)
        for stream in streams:
            for verb in ("INFO", "CREATE", "UPDATE"):
                yield f"{jetstream_api(self.domain)}.STREAM.{verb}.{stream}"

    def reading(self) -> Iterator[str]:
        """Yield the requests for any messages of the spool, and for the newest one of a subject."""
        for request in self.api("DIRECT.GET"):
            yield from (request, f"{request}.>")

    @property
    def _events(self) -> str:
        return event_stream(self.spool.root, self.spool.zone)

    def reading_events(self) -> str:
        """Return the request for the events that the spool's zone keeps."""
        return f"{jetstream_api(self.domain)}.DIRECT.GET.{self._events}"

    def finding_events(self) -> str:
        """Return the request for the newest one of a kind."""
        return f"{jetstream_api(self.domain)}.STREAM.MSG.GET.{self._events}"

    @property
    def _commitments(self) -> str:
        return commitment_stream(self.spool.root, self.spool.zone)

    def committing(self) -> Iterator[str]:
        """Yield what a front-end needs to answer for storage commitment."""
        api = jetstream_api(self.domain)
        yield commitment_request(self.spool.root, self.spool.zone)
        yield from (f"{api}.DIRECT.GET.{stream}" for stream in (self.spool.receipt_stream, self._commitments))
        yield f"{api}.STREAM.MSG.DELETE.{self._commitments}"
        yield from self.words(StateKind.PROGRESS)

    def newest_receipt(self) -> str:
        """Return the request for what has become of one of the destination's objects."""
        spool = self.spool
        return f"{jetstream_api(self.domain)}.DIRECT.GET.{spool.receipt_stream}.{spool.receipt(None)}"

    def seeing_commitments(self) -> Iterator[str]:
        """Yield the request for what is to be reported."""
        yield f"{jetstream_api(self.domain)}.DIRECT.GET.{self._commitments}"

    def noting_origins(self) -> Iterator[str]:
        """Yield what is needed to remember which zone a study came from, where a route goes by that."""
        if self.spool.kind is DestinationKind.ORIGIN:
            yield study_origin(self.spool.root, self.spool.zone)

    def by_origin(self, own: Iterable[PlacedSpool]) -> Iterator[str]:
        """Yield what is needed to take objects on by where their study came from."""
        if self.spool.kind is not DestinationKind.ORIGIN:
            return
        yield f"{jetstream_api(self.domain)}.DIRECT.GET.{origin_stream(self.spool.root, self.spool.zone)}"
        for placed in own:
            if not (placed.spool.is_on_its_way or placed.spool.is_shared):
                yield from placed.passing_on()

    def passing_on(self) -> Iterator[str]:
        """Yield where an object is written to, one that has come from elsewhere in the zone."""
        spool = self.spool
        yield from (spool.chunk("*"), spool.object(), spool.broken("*"), spool.acknowledged("*"))

    def removing(self) -> Iterator[str]:
        """Yield the requests that remove messages."""
        return self.api("STREAM.MSG.DELETE", "STREAM.PURGE")

    def words(self, *kinds: StateKind) -> Iterator[str]:
        """Yield the requests for the newest word of some kinds about the destination."""
        spool = self.spool
        for kind in kinds:
            yield f"{jetstream_api(self.domain)}.DIRECT.GET.{spool.state_stream}.{spool.state(kind)}"


def durable_publishing(
    role: Role, *, own: Iterable[PlacedSpool], incoming: Iterable[PlacedSpool]
) -> Iterator[str]:
    """Yield where a role may publish.

    Args:
        own: the spools of its zone's durable routes.
        incoming: the spools of any zone that are for AEs of its zone.
    """
    if role is Role.ASSOCIATION:
        for placed in own:
            spool = placed.spool
            yield from (spool.chunk("*"), spool.object(), spool.broken("*"), spool.state(StateKind.KNOWN))
            yield from (spool.question("*"), spool.reference("*"))
            if not spool.is_shared:
                yield spool.acknowledged("*")
            yield from placed.words(StateKind.MADE, StateKind.KNOWN, StateKind.ROOM)
            yield from placed.committing()
    elif role is Role.STORE:
        for placed in own:
            yield from (placed.spool.state(StateKind.MADE), placed.spool.state(StateKind.ROOM))
            yield placed.spool.chunk(PROBE_OBJECT)
            yield from (*placed.making(), *placed.reading(), *placed.api("STREAM.PURGE", "STREAM.MSG.GET"))
            yield from placed.words(StateKind.STATUS, StateKind.PAUSE)
            yield f"{jetstream_api(placed.domain)}.STREAM.LIST"  # for spools to which no route leads any more
            if placed.has_events:
                yield from (placed.reading_events(), placed.finding_events())
    elif role is Role.COMMAND:
        for placed in own:
            spool = placed.spool
            yield from (*placed.passing_on(), spool.receipt(None), spool.released("*"))
            yield spool.state(StateKind.PAUSE)
            yield from placed.words(StateKind.STATUS, StateKind.PAUSE)
            yield from placed.seeing_commitments()
            yield from (*placed.reading(), *placed.removing(), *placed.api("STREAM.INFO"))
    elif role is Role.SCU:
        for placed in own:
            yield from placed.noting_origins()
    elif role is Role.DELIVERY:
        for placed in incoming:
            spool = placed.spool
            if spool.is_shared:
                # It is read, and let go: removing is the keeper's, who knows whether others need it.
                yield from (*placed.reading(), spool.released("*"))
                continue
            yield from placed.noting_origins()
            yield from placed.by_origin(own)
            yield from (spool.failed(), spool.state(StateKind.STATUS))
            yield from (spool.receipt(None), spool.state(StateKind.PROGRESS))
            yield from placed.words(StateKind.PAUSE)
            yield placed.newest_receipt()
            yield from (*placed.reading(), *placed.removing())
            yield from placed.api("STREAM.INFO", "STREAM.MSG.GET")
            yield f"{jetstream_api(placed.domain)}.STREAM.NAMES"
            if placed.spool.is_before_hooks:  # what the hooks have made of an object goes into the next spool
                yield from replace(placed, spool=placed.spool.behind_hooks).passing_on()


def durable_hearing(
    role: Role, *, own: Iterable[PlacedSpool], incoming: Iterable[PlacedSpool]
) -> Iterator[str]:
    """Yield what a role may subscribe to; `own` and `incoming` as in `durable_publishing`."""
    if role is Role.ASSOCIATION:
        yield from (placed.spool.state(StateKind.ROOM) for placed in own)
    elif role is Role.STORE:
        for placed in own:
            yield f"{placed.spool.broken('*')} {ServiceName.STORE.value}"
            if placed.spool.is_shared:
                yield f"{placed.spool.released('*')} {ServiceName.STORE.value}"
    elif role is Role.DELIVERY:
        for placed in incoming:
            if placed.spool.is_shared:
                continue
            yield from (placed.spool.spooled, placed.spool.state(StateKind.PAUSE))
