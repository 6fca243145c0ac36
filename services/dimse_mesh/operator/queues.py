"""What the pods' metrics say of the queues of durable routes, and the conditions that follow from it.

The C-STORE handlers of the zone that keeps the objects see its spools (`dimse_mesh_spool_*`); the delivery service of
the zone that delivers sees its queues (`dimse_mesh_queue_*`). Where one zone is both, they are the same queues.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dimse_mesh.runtime.counters_durable import SpoolState

SCARCE = 0.9
"""Share of its room from which on a spool counts as nearly full."""
STORE_UNREACHABLE = "StoreUnreachable"
NOT_WAITING = "none"
"""The cause of `dimse_mesh_queue_waits` when a queue doesn't wait."""

_SAMPLE = re.compile(r"^dimse_mesh_(?:spool|queue)_([a-z_]+)\{([^}]*)\} ([0-9.eE+-]+)(?:\s|$)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_FINE = frozenset(("", SpoolState.IDLE, SpoolState.DELIVERING))
_WORDS: Mapping[str, str] = {
    SpoolState.PAUSED: "paused by an operator",
    SpoolState.NOBODY: "no delivery service has ever looked: is `delivery` set in the zone of this destination?",
    SpoolState.SILENT: "the delivery service says nothing and delivers nothing: is it running?",
}
_REASONS: Mapping[str, str] = {SpoolState.NOBODY: "NobodyDelivers", SpoolState.SILENT: "DeliverySilent"}

Verdict = tuple[str, str, str]
"""Status, reason and message of a condition."""


@dataclass(frozen=True, slots=True)
class QueueSeen:
    """The queue of one destination.

    Attributes:
        source: the zone that keeps the objects.
        destination: an AE title, or `zone:NAME`.
        share: of its room on disk that is taken, 0 to 1.
        reachable: False while its zone's JetStream doesn't answer for it.
        state: a `SpoolState`, or the cause for which the delivery service waits; empty: not known yet.
    """

    source: str
    destination: str
    objects: int = 0
    share: float = 0.0
    reachable: bool = True
    state: str = ""


def queues_in(text: str) -> list[QueueSeen]:
    """Return the queues that a metrics page tells of."""
    values: dict[tuple[str, str], dict[str, float]] = {}
    states: dict[tuple[str, str], str] = {}
    for name, labels, value in _SAMPLE.findall(text):
        found = dict(_LABEL.findall(labels))
        key = (found.get("source", ""), found.get("destination", ""))
        numbers = values.setdefault(key, {})
        if name == "state" and float(value):
            states[key] = found.get("state", "")
        elif name == "waits":
            states[key] = "" if found.get("cause") == NOT_WAITING else found.get("cause", "")
        else:
            numbers[name] = float(value)
    return [_queue(key, numbers, states.get(key, "")) for key, numbers in values.items()]


def _queue(key: tuple[str, str], numbers: Mapping[str, float], state: str) -> QueueSeen:
    limit = numbers.get("limit_bytes", 0.0)
    return QueueSeen(
        *key,
        objects=int(numbers.get("objects", 0)),
        share=numbers.get("kept_bytes", 0.0) / limit if limit > 0 else 0.0,
        reachable=numbers.get("reachable", 1.0) > 0,
        state=state,
    )


def merged(seen: Iterable[QueueSeen]) -> list[QueueSeen]:
    """Return each queue once, sorted: several pods see the same one, none of them at the same moment."""
    found: dict[tuple[str, str], QueueSeen] = {}
    for one in seen:
        key = (one.source, one.destination)
        other = found.get(key)
        if other is None:
            found[key] = one
            continue
        found[key] = replace(
            one,
            objects=max(one.objects, other.objects),
            share=max(one.share, other.share),
            reachable=one.reachable and other.reachable,
            state=one.state if one.state not in _FINE else other.state or one.state,
        )
    return [found[key] for key in sorted(found)]


def delivering(queues: Sequence[QueueSeen], *, source: str) -> Verdict:
    """Return the condition `Delivering`.

    Args:
        source: this zone; queues of others are named with theirs.
    """
    seen = [queue for queue in queues if queue.reachable]
    if not seen:
        return "Unknown", "NotSeen", "no pod has said yet"
    stuck = [queue for queue in seen if queue.state not in _FINE]
    if stuck:
        text = "; ".join(f"{_name(queue, source)}: {_WORDS.get(queue.state, queue.state)}" for queue in stuck)
        return "False", _reason(stuck[0].state), text
    if any(queue.objects for queue in seen):
        return "True", "Delivering", "objects are being delivered"
    return "True", "NothingWaits", "nothing waits"


def store_healthy(queues: Sequence[QueueSeen], *, source: str) -> Verdict:
    """Return the condition `StoreHealthy`, about the spools of the zone `source`."""
    own = [queue for queue in queues if queue.source == source]
    if not own:
        return "Unknown", "NotSeen", "no pod has said yet"
    lost = [queue.destination for queue in own if not queue.reachable]
    if lost:
        return "False", STORE_UNREACHABLE, f"JetStream doesn't answer for the spool of {', '.join(lost)}"
    scarce = [queue.destination for queue in own if queue.share >= SCARCE]
    if scarce:
        text = "less than a tenth of its room is left; when it is full, clients are refused"
        return "False", "NearlyFull", f"the spool of {', '.join(scarce)}: {text}"
    return "True", "Healthy", "every spool can be read and has room"


def _name(queue: QueueSeen, source: str) -> str:
    return queue.destination if queue.source == source else f"{queue.destination} from {queue.source}"


def _reason(state: str) -> str:
    if state in _REASONS:
        return _REASONS[state]
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", state))


def counts(queues: Sequence[QueueSeen]) -> Iterator[dict[str, str | int]]:
    """Yield the queues as the status lists them."""
    for queue in queues:
        yield {"source": queue.source, "destination": queue.destination, "objects": queue.objects}
