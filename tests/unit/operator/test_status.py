"""The status as a function of what was seen."""

from __future__ import annotations

from typing import Any

import pytest

from dimse_mesh.operator.names import Component
from dimse_mesh.operator.pods import PodReport, report_of
from dimse_mesh.operator.status import Observation, Problem, Seen, change_of, seen, status_of
from dimse_mesh.operator.targets import Targets

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
READY = {component: Seen(1, 1, 1, 1, 1, pods=[PodReport("p", ready=True)]) for component in Component}


def condition(status: dict[str, Any], kind: str) -> tuple[str, str]:
    (one,) = [one for one in status["conditions"] if one["type"] == kind]
    return one["status"], one["reason"]


def test_all_ready_is_ready() -> None:
    status = status_of(NOW, Observation(3, services=READY))
    assert (status["phase"], status["ready"], status["observedGeneration"]) == ("Ready", True, 3)
    assert condition(status, "NatsConnected") == ("True", "Connected")
    assert condition(status, "TargetReachable") == ("Unknown", "NoTarget")


def test_problem_outweighs_readiness() -> None:
    status = status_of(NOW, Observation(1, [Problem("SecretMissing", "spec.x: no")], READY))
    assert (status["phase"], status["message"]) == ("Degraded", "spec.x: no")
    assert condition(status, "Ready") == ("False", "SecretMissing")


def test_condition_keeps_its_time_until_it_changes() -> None:
    first = status_of(NOW, Observation(1, services=READY))
    same = status_of(LATER, Observation(2, services=READY), first["conditions"])
    assert {one["lastTransitionTime"] for one in same["conditions"]} == {NOW}
    changed = status_of(LATER, Observation(2, [Problem("X", "x")], READY), first["conditions"])
    times = {one["type"]: one["lastTransitionTime"] for one in changed["conditions"]}
    assert times["Ready"] == LATER
    assert times["NatsConnected"] == NOW


def deployment(generation: int = 2, observed: int = 2, replicas: int = 3, **counts: Any) -> dict[str, Any]:
    full = {"replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas}
    full |= {"availableReplicas": replicas, "observedGeneration": observed}
    return {
        "metadata": {"generation": generation},
        "spec": {"replicas": replicas},
        "status": full | counts,
    }


def test_deployment_not_yet_observed_counts_as_not_ready() -> None:
    assert seen(deployment(observed=1), []).complete is False
    assert seen(deployment(), []).complete is True


def test_deployment_older_than_what_was_applied_counts_as_not_ready() -> None:
    assert seen(deployment(), [], generation=3).complete is False
    assert seen(deployment(), [], generation=2).complete is True


@pytest.mark.parametrize("counts", [{"updatedReplicas": 2}, {"availableReplicas": 2}, {"readyReplicas": 0}])
def test_deployment_that_rolls_is_not_complete(counts: dict[str, int]) -> None:
    assert seen(deployment(**counts), []).complete is False


def test_deployment_with_a_pod_of_an_earlier_generation_is_not_complete() -> None:
    rolling = deployment()
    rolling["status"]["replicas"] = 4
    assert seen(rolling, []).complete is False


@pytest.mark.parametrize(
    "condition",
    [
        {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"},
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"},
    ],
)
def test_deployment_that_makes_no_pods_is_degraded(condition: dict[str, Any]) -> None:
    one = seen(deployment(availableReplicas=0, conditions=[condition]), [])
    status = status_of(NOW, Observation(1, services=READY | {Component.STORE: one}))
    assert status["phase"] == "Degraded"
    assert status["message"] == f"store: {condition['message']}"


def test_scaled_to_nothing_is_said() -> None:
    nothing = seen(deployment(replicas=0), [])
    assert nothing.complete is True
    status = status_of(NOW, Observation(1, services=READY | {Component.STORE: nothing}))
    assert condition(status, "Ready") == ("False", "ScaledToZero")


def test_paused_resource_says_nothing_of_a_generation_that_was_not_applied() -> None:
    first = status_of(NOW, Observation(1, services=READY))
    paused = status_of(LATER, Observation(2, services=READY, paused=True), first["conditions"])
    assert condition(paused, "Progressing") == ("False", "Paused")
    assert {one["type"]: one["observedGeneration"] for one in paused["conditions"]}["Ready"] == 1


def test_patch_removes_kinds_by_name() -> None:
    first = status_of(NOW, Observation(1, services=READY, objects=[("Service", "a"), ("ScaledObject", "b")]))
    second = status_of(NOW, Observation(1, services=READY, objects=[("Service", "a")]))
    change = change_of(second, {**first, "old": 1})
    assert change["secondaryResources"] == {"ScaledObject": None, "Service": ["a"]}
    assert change["old"] is None


@pytest.mark.parametrize("result", ["unreachable", "timed-out", "tls-failed"])
def test_target_without_an_answer_degrades(result: str) -> None:
    status = status_of(NOW, Observation(1, services=READY, has_target=True, targets={"PACS": result}))
    assert condition(status, "TargetReachable") == ("False", "NoAnswer")
    assert condition(status, "Ready") == ("False", "TargetUnreachable")
    assert f"PACS ({result})" in status["message"]


@pytest.mark.parametrize("result", ["accepted", "rejected", "aborted"])
def test_target_that_answers_at_all_is_reachable(result: str) -> None:
    status = status_of(NOW, Observation(1, services=READY, has_target=True, targets={"PACS": result}))
    assert condition(status, "TargetReachable") == ("True", "Answers")
    assert status["phase"] == "Ready"


def test_target_is_judged_by_what_is_new() -> None:
    targets = Targets()

    def round_of(**counts: int) -> str | None:
        openings = {("PACS", name.replace("_", "-")): count for name, count in counts.items()}
        targets.saw([PodReport("scu-1", ready=True, openings=openings)])
        return targets.latest.get("PACS")

    assert round_of() is None
    assert round_of(accepted=1) == "accepted"
    assert round_of(accepted=1, tls_failed=1) == "tls-failed"
    assert round_of(accepted=1, tls_failed=1) == "tls-failed"
    assert round_of(accepted=1, tls_failed=1, busy=9) == "tls-failed"
    assert round_of(accepted=2, tls_failed=2) == "accepted"


def waiting(reason: str) -> dict[str, Any]:
    return {"containerStatuses": [{"state": {"waiting": {"reason": reason, "message": "m"}}}]}


UNSCHEDULED = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node"}]}
ENDED = {"containerStatuses": [{"state": {"terminated": {"message": "a\nlast"}}}]}
SPEECHLESS = {"containerStatuses": [{"state": {"terminated": {"message": "\n"}}}]}
RECOVERED = {
    "conditions": [{"type": "Ready", "status": "True"}],
    "containerStatuses": [{"lastState": {"terminated": {"message": "old"}}}],
}


@pytest.mark.parametrize(
    ("status", "complaint"),
    [
        (UNSCHEDULED, "not scheduled: no node"),
        (waiting("ImagePullBackOff"), "ImagePullBackOff: m"),
        (waiting("ContainerCreating"), ""),
        (ENDED, "last"),
        (SPEECHLESS, ""),
        (RECOVERED, ""),
    ],
)
def test_pod_says_why_it_is_not_ready(status: dict[str, Any], complaint: str) -> None:
    assert report_of({"metadata": {"name": "p"}, "status": status}).complaint == complaint


def test_long_complaints_are_cut() -> None:
    status = {"containerStatuses": [{"state": {"terminated": {"message": "x" * 5000}}}]}
    assert len(report_of({"metadata": {"name": "p"}, "status": status}).complaint) == 300
