"""The status of a DimseProxy, from what was seen: a pure function.

`Ready` is true when every service's Deployment has rolled out the latest generation, each of its pods is available, and
no target failed to answer. So `kubectl wait --for=condition=Ready` returns when the zone carries traffic. `Progressing`
is true while that may still come by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from dimse_mesh.operator.names import Component, Manifest
from dimse_mesh.operator.pods import PodReport
from dimse_mesh.operator.queues import STORE_UNREACHABLE, QueueSeen, counts, delivering, store_healthy
from dimse_mesh.schemas.association import OpenResult

NO_ANSWER = frozenset({OpenResult.UNREACHABLE, OpenResult.TIMED_OUT, OpenResult.TLS_FAILED})


class Phase(StrEnum):
    """One word for the whole."""

    READY = "Ready"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    INVALID = "Invalid"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that won't pass by itself; `reason` is one CamelCase word."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One service: counts from its Deployment, reports from its pods."""

    desired: int = 0
    ready: int = 0
    updated: int = 0
    available: int = 0
    total: int = 0
    """Pods of every generation."""
    observed: bool = True
    """False until the latest generation of the Deployment was looked at by its controller."""
    failure: str = ""
    """Why pods can't be made, or why the roll-out counts as failed."""
    pods: Sequence[PodReport] = ()

    @property
    def complete(self) -> bool:
        """True when every pod is of the latest generation and available, and none of an earlier one is left."""
        counts = (self.updated, self.available, self.ready)
        return self.observed and self.total <= self.desired and min(counts) >= self.desired


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that the status is made of."""

    generation: int
    problems: Sequence[Problem] = ()
    services: Mapping[Component, Seen] = field(default_factory=dict)
    has_target: bool = False
    targets: Mapping[str, str] = field(default_factory=dict)
    """AE title -> what came of the latest association that an executor was asked to open there."""
    zone: str = ""
    keeps: bool = False
    """Some route is durable: objects are kept in this zone."""
    delivers: bool = False
    """It has a delivery service."""
    queues: Sequence[QueueSeen] = ()
    objects: Iterable[tuple[str, str]] = ()
    """(kind, name) of what was made."""
    paused: bool = False


def seen(deployment: Manifest | None, pods: Sequence[PodReport], *, generation: int = 0) -> Seen:
    """Return the counts of a Deployment; of one that isn't there yet, or not yet observed, none are ready.

    Args:
        generation: that the API server named when the Deployment was last applied; an earlier one is out of date.
    """
    if deployment is None:
        return Seen(desired=1, observed=False, pods=pods)
    status = deployment.get("status", {})
    wanted = deployment.get("spec", {}).get("replicas", 1)
    latest = max(generation, deployment["metadata"].get("generation", 0))
    conditions = {one["type"]: one for one in status.get("conditions", ())}
    failure = ""
    if conditions.get("ReplicaFailure", {}).get("status") == "True":
        failure = str(conditions["ReplicaFailure"].get("message", ""))
    elif conditions.get("Progressing", {}).get("reason") == "ProgressDeadlineExceeded":
        failure = str(conditions["Progressing"].get("message", ""))
    return Seen(
        desired=wanted,
        ready=status.get("readyReplicas", 0),
        updated=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
        total=status.get("replicas", 0),
        observed=status.get("observedGeneration", 0) >= latest,
        failure=failure,
        pods=pods,
    )


def status_of(now: str, observation: Observation, previous: Sequence[Manifest] = ()) -> Manifest:
    """Return the whole status.

    Args:
        now: RFC 3339 time for conditions that change.
        previous: the conditions so far; one that does not change keeps its time.
    """
    phase, reason, message = _verdict(observation)
    conditions = [
        _condition("Ready", "True" if phase is Phase.READY else "False", reason, message),
        _condition("Progressing", *_progressing(observation, phase, reason, message)),
        _condition("NatsConnected", *_nats(observation)),
        _condition("TargetReachable", *_target(observation)),
    ]
    queues = observation.queues
    if observation.keeps or observation.delivers:
        conditions.append(_condition("Delivering", *delivering(queues, source=observation.zone)))
    if observation.keeps:
        conditions.append(_condition("StoreHealthy", *store_healthy(queues, source=observation.zone)))
    before = {one["type"]: one for one in previous}
    # What a paused operator sees was made of an earlier generation: "Ready" must not be said of a later one.
    generation = observation.generation
    if observation.paused:
        generation = int(before.get("Ready", {}).get("observedGeneration", 0))
    for one in conditions:
        old = before.get(one["type"], {})
        unchanged = old.get("status") == one["status"]
        one["lastTransitionTime"] = old.get("lastTransitionTime", now) if unchanged else now
        one["observedGeneration"] = generation
    conditions[1]["observedGeneration"] = observation.generation
    names: dict[str, list[str]] = {}
    for kind, name in observation.objects:
        names.setdefault(kind, []).append(name)
    association = observation.services.get(Component.ASSOCIATION, Seen())
    waiting: Manifest = {}
    if observation.keeps or observation.delivers:
        waiting = {"queued": sum(queue.objects for queue in queues), "queues": list(counts(queues))}
    return {
        "observedGeneration": generation,
        "ready": phase is Phase.READY,
        "phase": phase.value,
        "message": message,
        "associations": sum(pod.associations or 0 for pod in association.pods),
        **waiting,
        "services": {
            component.value: {
                "desired": one.desired,
                "ready": one.ready,
                "updated": one.updated,
                "available": one.available,
            }
            for component, one in observation.services.items()
        },
        "secondaryResources": {kind: sorted(found) for kind, found in sorted(names.items())},
        "conditions": conditions,
    }


COUNTS = ("associations", "queued", "queues")
"""Parts of the status that change all the time."""


def change_of(status: Manifest, before: Mapping[str, object]) -> Manifest:
    """Return the merge patch that makes `status` of `before`: what is no longer in it is removed by name."""
    change: Manifest = dict(status)
    for part in ("secondaryResources", "services"):
        old = before.get(part)
        if isinstance(old, Mapping):
            change[part] = {name: None for name in old if name not in status[part]} | status[part]
    return change | {name: None for name in before if name not in status}


def _condition(kind: str, status: str, reason: str, message: str) -> Manifest:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _verdict(observation: Observation) -> tuple[Phase, str, str]:
    if observation.problems:
        first = observation.problems[0]
        message = "; ".join(problem.message for problem in observation.problems)
        phase = Phase.INVALID if first.reason == "InvalidSpec" else Phase.DEGRADED
        return phase, first.reason, message
    if not observation.services:
        return Phase.PROGRESSING, "RollingOut", "nothing was seen yet"
    waiting = {name: one for name, one in observation.services.items() if not one.complete}
    for name, one in waiting.items():
        for pod in one.pods:
            if pod.complaint and pod.complaint not in {"starting", "draining"}:
                return Phase.DEGRADED, "PodsFailing", f"{name}: {pod.complaint}"
    for name, one in observation.services.items():
        if one.failure:
            return Phase.DEGRADED, "ReplicaFailure", f"{name}: {one.failure}"
    if waiting:
        counts = ", ".join(
            f"{name} {min(one.updated, one.available) if one.observed else 0}/{one.desired}"
            for name, one in waiting.items()
        )
        return Phase.PROGRESSING, "RollingOut", f"waiting for {counts}"
    if idle := [name.value for name, one in observation.services.items() if one.desired == 0]:
        return Phase.DEGRADED, "ScaledToZero", f"no pods are wanted for {', '.join(idle)}"
    if observation.keeps:
        verdict, reason, message = store_healthy(observation.queues, source=observation.zone)
        if verdict == "False" and reason == STORE_UNREACHABLE:
            return Phase.DEGRADED, reason, message
    if failing := _failing(observation):
        return Phase.DEGRADED, "TargetUnreachable", failing
    return Phase.READY, "AllServicesReady", "all services are ready"


def _progressing(observation: Observation, phase: Phase, reason: str, message: str) -> tuple[str, str, str]:
    if observation.paused:
        return "False", "Paused", "the paused annotation is set: nothing is changed until it is removed"
    if phase is Phase.PROGRESSING:
        return "True", reason, message
    if phase is Phase.READY:
        return "False", "Complete", "every service runs the latest generation"
    rolling = any(not one.complete for one in observation.services.values())
    return "False", "Stalled" if rolling or observation.problems else "Complete", message


def _nats(observation: Observation) -> tuple[str, str, str]:
    pods = [pod for one in observation.services.values() for pod in one.pods]
    for pod in pods:
        if "NATS" in pod.complaint:
            return "False", "NotConnected", pod.complaint
    if any(pod.ready for pod in pods):
        return "True", "Connected", "every pod that is ready is connected to NATS"
    return "Unknown", "NotSeen", "no pod has said yet"


def _failing(observation: Observation) -> str:
    """Name the targets that gave no answer when they were last asked; empty when there are none."""
    failing = {title: result for title, result in observation.targets.items() if result in NO_ANSWER}
    names = ", ".join(f"{title} ({result})" for title, result in sorted(failing.items()))
    return f"no answer from {names}: the log of scu says why" if names else ""


def _target(observation: Observation) -> tuple[str, str, str]:
    if not observation.has_target:
        return "Unknown", "NoTarget", "this zone has no remote AE"
    if failing := _failing(observation):
        return "False", "NoAnswer", failing
    if observation.targets:
        return "True", "Answers", f"{', '.join(sorted(observation.targets))} answered when last asked"
    return "Unknown", "NotAsked", "nobody asked for an association yet"
