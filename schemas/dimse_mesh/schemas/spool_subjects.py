"""The subjects and streams of durable delivery: what waits in a source zone for one destination.

Each destination of a source zone has a stream of its own, its spool; each source zone has one small stream more, for
what is known and decided about its destinations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from dimse_mesh.schemas.tokens import decode_token, encode_token

ANY_TOKEN = "*"
PROBE_OBJECT = "0" * 32
"""Stands where the id of an object does, of what is written to see whether anything can be written."""
_STUDY_TOKEN_BYTES = 8
_INSTANCE_TOKEN_BYTES = 16


class DestinationKind(StrEnum):
    """What a destination is named by."""

    AE = "ae"
    ZONE = "zone"
    AE_HOOKS = "ae_hooks"
    """Hooks of the source zone, whose outcome is for an AE."""
    ZONE_HOOKS = "zone_hooks"
    ORIGIN = "origin"
    """No destination yet: that of each object follows from where its study came from."""
    SHARED = "shared"
    """Several destinations: the pieces of what all of them get. The manifests stand in the spool of each."""


_BEFORE = {
    DestinationKind.AE: DestinationKind.AE_HOOKS,
    DestinationKind.ZONE: DestinationKind.ZONE_HOOKS,
}
_BEHIND = {before: behind for behind, before in _BEFORE.items()}


class StateKind(StrEnum):
    """What is kept of a destination; of each only the newest message."""

    ROOM = "room"
    """Whether its spool takes more, as the source zone's C-STORE handler sees it."""
    MADE = "made"
    """That the keeper has made its spool."""

    KNOWN = "known"
    """Presentation contexts that it has accepted or rejected."""
    STATUS = "status"
    """What its queue is doing, in the words of the delivery service."""
    PAUSE = "pause"
    """Whether an operator has paused it, why, and until when."""
    PROGRESS = "progress"
    """Up to where the objects of its spool are settled."""


class RoutePriority(StrEnum):
    """Which objects of a spool are delivered first; the highest stands first."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


def study_token(study: str) -> str:
    """Return a subject token for a Study Instance UID; the UID can't be read from it."""
    return hashlib.blake2b(study.encode(), digest_size=_STUDY_TOKEN_BYTES).hexdigest()


def instance_token(sop_instance: str) -> str:
    """Return a subject token for a SOP Instance UID; the UID can't be read from it."""
    return hashlib.blake2b(sop_instance.encode(), digest_size=_INSTANCE_TOKEN_BYTES).hexdigest()


def hidden_instance(sop_instance: str) -> str:
    """Return a UID for where a SOP Instance UID must not be read; the same each time (PS3.5 §B.2)."""
    return f"2.25.{int.from_bytes(hashlib.blake2b(sop_instance.encode(), digest_size=16).digest())}"


class SpoolSubjects(NamedTuple):
    """The spool of one destination in one source zone."""

    root: str
    zone: str
    """The source zone: where the object was acknowledged and is kept."""
    kind: DestinationKind
    name: str
    """The destination's AE title, or the name of the zone whose default target it is; its own zone's, of `ORIGIN`."""

    def __str__(self) -> str:
        return f"{self.zone} to {self.kind.value} {self.name}"

    @property
    def label(self) -> str:
        """The destination as people name it: its AE title, or `zone:NAME`; before its hooks `hooks:` and that."""
        match self.kind:
            case DestinationKind.AE:
                return self.name
            case DestinationKind.ZONE:
                return f"zone:{self.name}"
            case DestinationKind.AE_HOOKS | DestinationKind.ZONE_HOOKS:
                return f"hooks:{self.behind_hooks.label}"
            case DestinationKind.ORIGIN:
                return f"origin:{self.name}"
            case DestinationKind.SHARED:
                return f"shared:{self.name}"

    @property
    def is_before_hooks(self) -> bool:
        """Whether what it holds is for the hooks of its own zone, and its destination isn't to have it as it is."""
        return self.kind in _BEHIND

    @property
    def is_on_its_way(self) -> bool:
        """Whether its own zone's delivery service takes its objects on, to the spools of destinations."""
        return self.is_before_hooks or self.kind is DestinationKind.ORIGIN

    @property
    def is_shared(self) -> bool:
        """Whether it holds pieces for several destinations, and no manifests."""
        return self.kind is DestinationKind.SHARED

    def sharing(self, name: str) -> SpoolSubjects:
        """The stream in which pieces of objects stand that this destination shares with others."""
        return self._replace(kind=DestinationKind.SHARED, name=name)

    @property
    def before_hooks(self) -> SpoolSubjects:
        """The spool in which objects wait for hooks, before they come into this one."""
        return self._replace(kind=_BEFORE[self.kind])

    @property
    def behind_hooks(self) -> SpoolSubjects:
        """The spool that gets what the hooks have made of the objects of this one."""
        return self._replace(kind=_BEHIND[self.kind])

    @property
    def stream(self) -> str:
        """Name of the stream."""
        return "~".join(
            (encode_token(self.root), encode_token(self.zone), self.kind.value, encode_token(self.name))
        )

    @property
    def _tokens(self) -> str:
        return f"{encode_token(self.zone)}.{self.kind.value}.{encode_token(self.name)}"

    @property
    def _prefix(self) -> str:
        return f"{self.root}.spool.{self._tokens}"

    def chunk(self, object_id: str) -> str:
        """Pieces of one object's data set, in order."""
        return f"{self._prefix}.chunk.{object_id}"

    def reference(self, object_id: str) -> str:
        """Says that the destination needs the pieces of an object that stand in a shared stream."""
        return f"{self._prefix}.reference.{object_id}"

    def object(
        self,
        *,
        calling_ae: str | None = None,
        study: str | None = None,
        priority: RoutePriority | None = None,
    ) -> str:
        """Manifests of objects that wait; without an argument those of every calling AE, study or priority."""
        tokens = (_calling(calling_ae), study or ANY_TOKEN, priority.value if priority else ANY_TOKEN)
        return f"{self._prefix}.object.{'.'.join(tokens)}"

    def failed(self, *, calling_ae: str | None = None, study: str | None = None) -> str:
        """Dead letters: manifests of objects that are not tried again by themselves."""
        return f"{self._prefix}.failed.{_calling(calling_ae)}.{ANY_TOKEN if study is None else study}"

    def question(self, question_id: str) -> str:
        """Whether the destination is committed to some instances: a question of the source zone's front-ends."""
        return f"{self._prefix}.question.{question_id}"

    def acknowledged(self, writer: str) -> str:
        """Names of objects that were acknowledged, as one process writes them."""
        return f"{self._prefix}.acknowledged.{writer}"

    @property
    def interest(self) -> tuple[str, ...]:
        """All subjects of the stream."""
        if self.is_shared:
            return (self.chunk(ANY_TOKEN),)
        return (
            self.chunk(ANY_TOKEN),
            self.reference(ANY_TOKEN),
            self.object(),
            self.failed(),
            self.question(ANY_TOKEN),
            self.acknowledged(ANY_TOKEN),
        )

    @property
    def spooled(self) -> str:
        """Where nats-server tells that a manifest was stored; the message carries none of it."""
        return f"{self.root}.spooled.{self._tokens}"

    def broken(self, object_id: str) -> str:
        """Where a front-end tells the keepers that an object will never be whole. No stream keeps it."""
        return f"{self.root}.broken.{self._tokens}.{object_id}"

    def released(self, object_id: str) -> str:
        """Where a destination tells the keepers that it needs no pieces of an object in this shared stream any more."""
        return f"{self.root}.released.{self._tokens}.{object_id}"

    def state(self, what: StateKind) -> str:
        """The newest word about the destination, of one kind."""
        return f"{self.root}.queue.{self._tokens}.{what.value}"

    def receipt(self, sop_instance: str | None) -> str:
        """What has become of an instance that was to go to the destination; None: of each."""
        token = ANY_TOKEN if sop_instance is None else instance_token(sop_instance)
        return f"{self.root}.receipt.{self._tokens}.{token}"

    def fate_id(self, object_id: str, fate: str, sequence: int) -> str:
        """The `Nats-Msg-Id` of what has become of an object, in a stream that the zone's spools share.

        nats-server takes two messages of a stream with the same id for one, whatever their subjects. So the id names
        the spool: in each of several destinations' spools an object may have the same sequence number.
        """
        return f"{object_id}.{fate}.{self.stream}.{sequence}"

    def answer(self, question_id: str) -> str:
        """The newest word about such a question; it stands among the receipts."""
        return f"{self.root}.receipt.{self._tokens}.{question_id}"

    @property
    def state_stream(self) -> str:
        """Name of the source zone's stream of such words."""
        return state_stream(self.root, self.zone)

    @property
    def receipt_stream(self) -> str:
        """Name of the source zone's stream of receipts."""
        return receipt_stream(self.root, self.zone)


class Share(NamedTuple):
    """The pieces of what several destinations get, and the spools that have the manifests."""

    spool: SpoolSubjects
    members: tuple[SpoolSubjects, ...]


def share_of(members: Iterable[SpoolSubjects]) -> Share:
    """Return what these spools of one zone share. Its name tells the set of destinations, and no other one's."""
    ordered = tuple(sorted(set(members)))
    text = "\0".join(spool.stream for spool in ordered)
    name = hashlib.blake2b(text.encode(), digest_size=_STUDY_TOKEN_BYTES).hexdigest()
    return Share(ordered[0].sharing(name), ordered)


def priority_in(subject: str) -> RoutePriority | None:
    """Return the priority of the object whose manifest is stored on a subject; None: it is no manifest's."""
    try:
        return RoutePriority(subject.rpartition(".")[2])
    except ValueError:
        return None


def state_stream(root: str, zone: str) -> str:
    """Name of the stream of what a source zone keeps about its destinations."""
    return f"{encode_token(root)}~{encode_token(zone)}~queue"


def state_interest(root: str, zone: str) -> str:
    """All subjects of that stream."""
    return f"{root}.queue.{encode_token(zone)}.{ANY_TOKEN}.{ANY_TOKEN}.{ANY_TOKEN}"


def receipt_stream(root: str, zone: str) -> str:
    """Name of the stream of what has become of the objects of a source zone."""
    return f"{encode_token(root)}~{encode_token(zone)}~receipts"


def receipt_interest(root: str, zone: str) -> str:
    """All subjects of that stream."""
    return f"{root}.receipt.{encode_token(zone)}.{ANY_TOKEN}.{ANY_TOKEN}.{ANY_TOKEN}"


def origin_spool(root: str, zone: str) -> SpoolSubjects:
    """Return the spool of a zone's objects whose destination follows from where their study came from."""
    return SpoolSubjects(root, zone, DestinationKind.ORIGIN, zone)


def origin_stream(root: str, zone: str) -> str:
    """Name of the stream of where the studies came from that a zone has received."""
    return f"{encode_token(root)}~{encode_token(zone)}~origins"


def study_origin(root: str, zone: str, *, study: str = ANY_TOKEN, source: str | None = None) -> str:
    """Return where a zone remembers that a study came from another zone; None: from any."""
    token = ANY_TOKEN if source is None else encode_token(source)
    return f"{root}.origin.{encode_token(zone)}.{study}.{token}"


def commitment_stream(root: str, zone: str) -> str:
    """Name of the stream of the requests for storage commitment that a source zone has to report on."""
    return f"{encode_token(root)}~{encode_token(zone)}~commitments"


def commitment_request(root: str, zone: str, request_id: str = ANY_TOKEN) -> str:
    """One of these requests, or all of them."""
    return f"{root}.commitment.{encode_token(zone)}.{request_id}"


def every_spool(root: str) -> str:
    """A subject that the stream of every spool under a root takes."""
    return f"{root}.spool.{ANY_TOKEN}.{ANY_TOKEN}.{ANY_TOKEN}.object.{ANY_TOKEN}.{ANY_TOKEN}.{ANY_TOKEN}"


def parse_stream(root: str, stream: str) -> SpoolSubjects | None:
    """Return the spool that a stream's name spells; None: it spells none under this root."""
    try:
        own, zone, kind, name = stream.split("~")
        if own == encode_token(root):
            return SpoolSubjects(root, decode_token(zone), DestinationKind(kind), decode_token(name))
    except ValueError:
        pass
    return None


def _calling(calling_ae: str | None) -> str:
    return ANY_TOKEN if calling_ae is None else encode_token(calling_ae)
