"""The status of a DimseProxy, from what was seen: a pure function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from dimse_mesh.operator.names import Component, Manifest
from dimse_mesh.operator.pods import PodReport
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
    pods: Sequence[PodReport] = ()

    @property
    def complete(self) -> bool:
        """True when every pod is of the latest generation and ready."""
        return self.ready >= self.desired and self.updated >= self.desired


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that the status is made of."""

    generation: int
    problems: Sequence[Problem] = ()
    services: Mapping[Component, Seen] = field(default_factory=dict)
    has_target: bool = False
    targets: Mapping[str, str] = field(default_factory=dict)
    """AE title -> what came of the latest association that an executor was asked to open there."""
    objects: Iterable[tuple[str, str]] = ()
    """(kind, name) of what was made."""


def seen(deployment: Manifest | None, pods: Sequence[PodReport]) -> Seen:
    """Return the counts of a Deployment; of one that isn't there yet, or not yet observed, none are ready."""
    if deployment is None:
        return Seen(desired=1, pods=pods)
    status = deployment.get("status", {})
    desired = deployment.get("spec", {}).get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return Seen(desired=desired, pods=pods)
    return Seen(
        desired=desired,
        ready=status.get("readyReplicas", 0),
        updated=status.get("updatedReplicas", 0),
        pods=pods,
    )


def status_of(now: str, observation: Observation, previous: Sequence[Manifest] = ()) -> Manifest:
    """Return the whole status.

    Args:
        now: RFC 3339 time for conditions that change.
        previous: the conditions so far; one that does not change keeps its time.
    """
    phase, reason, message = _verdict(observation)
    ready = phase is Phase.READY
    degraded = phase in {Phase.DEGRADED, Phase.INVALID}
    nats = _nats(observation)
    target = _target(observation)
    conditions = [
        _condition("Ready", "True" if ready else "False", reason, message),
        _condition(
            "Degraded", "True" if degraded else "False", reason if degraded else "AsExpected", message
        ),
        _condition("NatsConnected", *nats),
        _condition("TargetReachable", *target),
    ]
    before = {one["type"]: one for one in previous}
    for one in conditions:
        old = before.get(one["type"], {})
        unchanged = old.get("status") == one["status"]
        one["lastTransitionTime"] = old.get("lastTransitionTime", now) if unchanged else now
        one["observedGeneration"] = observation.generation
    names: dict[str, list[str]] = {}
    for kind, name in observation.objects:
        names.setdefault(kind, []).append(name)
    association = observation.services.get(Component.ASSOCIATION, Seen())
    return {
        "observedGeneration": observation.generation,
        "ready": ready,
        "phase": phase.value,
        "message": message,
        "associations": sum(pod.associations or 0 for pod in association.pods),
        "services": {
            component.value: {"desired": one.desired, "ready": one.ready, "updated": one.updated}
            for component, one in observation.services.items()
        },
        "secondaryResources": {kind: sorted(found) for kind, found in sorted(names.items())},
        "conditions": conditions,
    }


def _condition(kind: str, status: str, reason: str, message: str) -> Manifest:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _verdict(observation: Observation) -> tuple[Phase, str, str]:
    if observation.problems:
        first = observation.problems[0]
        message = "; ".join(problem.message for problem in observation.problems)
        phase = Phase.INVALID if first.reason == "InvalidSpec" else Phase.DEGRADED
        return phase, first.reason, message
    waiting = {name: one for name, one in observation.services.items() if not one.complete}
    for name, one in waiting.items():
        for pod in one.pods:
            if pod.complaint and pod.complaint not in {"starting", "draining"}:
                return Phase.DEGRADED, "ServiceNotReady", f"{name}: {pod.complaint}"
    if waiting:
        counts = ", ".join(f"{name} {one.ready}/{one.desired}" for name, one in waiting.items())
        return Phase.PROGRESSING, "ServicesStarting", f"waiting for {counts}"
    if failing := _failing(observation):
        return Phase.DEGRADED, "TargetUnreachable", failing
    if not observation.services:
        return Phase.PROGRESSING, "ServicesStarting", "nothing was seen yet"
    return Phase.READY, "AllServicesReady", "all services are ready"


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
