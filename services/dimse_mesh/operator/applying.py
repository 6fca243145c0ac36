"""Apply the objects of one resource: those that changed, those that somebody else changed, and no others.

A record of each object holds what was asked for and what the API server made of it. An object is applied again when one
of the two differs: the resource changed, or the object did. What can't be applied is tried again at growing intervals,
so that a lasting problem costs a bounded number of calls.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dimse_mesh.operator.cluster import CHILDREN, ApiError, Cluster, controller_of, owns_replicas
from dimse_mesh.operator.explaining import NAMESPACE_TERMINATING, refusal
from dimse_mesh.operator.names import MANAGER, Manifest, Owner
from dimse_mesh.operator.resource import KIND
from dimse_mesh.operator.status import Problem
from dimse_mesh.operator.watching import Contents, version_of

HANDOVER_MANAGER = f"{MANAGER}-handover"
FIRST_PAUSE_SECONDS = 1.0
LAST_PAUSE_SECONDS = 300.0
CALM_SECONDS = 600.0
"""After so long without another repair, the next one is made at once again."""
_SERVERS_ANNOTATIONS = "deployment.kubernetes.io/"


@dataclass(slots=True)
class Record:
    """What is known of one object."""

    asked: str = ""
    """Digest of what was applied."""
    got: str = ""
    """Digest of what the API server made of it."""
    version: int = 0
    generation: int = 0
    uid: str = ""
    problem: Problem | None = None
    pause: float = 0.0
    not_before: float = float("-inf")
    applied_at: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Work:
    """What one pass did."""

    created: Sequence[str] = ()
    changed: Sequence[str] = ()
    repaired: Sequence[str] = ()
    deleted: Sequence[str] = ()
    problems: Sequence[Problem] = ()


@dataclass(slots=True)
class Applied:
    """What was applied for one resource; forgotten with the process, then done again."""

    records: dict[tuple[str, str], Record] = field(default_factory=dict)
    terminating: bool = False
    """The namespace is being deleted, which nothing ends but its end: there is nothing to do any more."""

    def gone(self, item: Manifest) -> None:
        """Take note that an object was deleted: it is made again, unless it was already."""
        record = self.records.get((item["kind"], item["metadata"]["name"]))
        if record is not None and record.uid == item["metadata"]["uid"]:
            record.got = ""
            record.uid = ""

    def generation(self, kind: str, name: str) -> int:
        """Return the generation that the API server gave an object when it was last applied."""
        record = self.records.get((kind, name))
        return record.generation if record else 0

    def due(self) -> float:
        """Return when the first object that couldn't be applied is tried again; infinity if none waits."""
        waiting = [record.not_before for record in self.records.values() if record.problem]
        return min(waiting, default=float("inf"))


class _Others:
    """Objects that don't bear our label, so that no watch shows them: by kind, listed once a pass if needed at all."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._known: dict[str, dict[str, Manifest]] = {}

    async def find(self, key: tuple[str, str]) -> Manifest | None:
        """Return an object, with nothing but its metadata, or None."""
        kind, name = key
        if kind not in self._known:
            self._known[kind] = await self._cluster.metadata(kind, self._namespace)
        metadata = self._known[kind].get(name)
        return None if metadata is None else {"kind": kind, "metadata": metadata}


class Applier:
    """Applies the objects of one resource at a time."""

    def __init__(self, contents: Contents, clock: Callable[[], float]) -> None:
        self._contents = contents
        self._clock = clock

    async def apply(
        self,
        cluster: Cluster,
        owner: Owner,
        objects: Iterable[Manifest],
        applied: Applied,
    ) -> Work:
        """Bring every object of `objects` up to date, and delete those that aren't among them any more.

        Raises:
            ApiError: the API server can't be reached, or failed.
        """
        created: list[str] = []
        changed: list[str] = []
        repaired: list[str] = []
        wanted: dict[tuple[str, str], Manifest] = {
            (item["kind"], item["metadata"]["name"]): item for item in objects
        }
        others = _Others(cluster, owner.namespace)
        for key, item in wanted.items():
            record = applied.records.setdefault(key, Record())
            live = self._contents.get(key[0], owner.namespace, key[1])
            if not self._is_due(item, live, record):
                continue
            found = live if live is not None else await others.find(key)
            if (problem := self._conflict(owner, item, found)) is not None:
                self._put_off(record, problem, item)
                continue
            before = record.got
            renewed = record.asked == _digest(item)
            try:
                answer = await self._make(cluster, item, live, repair=renewed and live is not None)
            except ApiError as error:
                if error.passing:
                    raise
                problem = refusal(item, error)
                if problem.reason == NAMESPACE_TERMINATING:
                    applied.terminating = True
                    break
                self._put_off(record, problem, item)
                continue
            self._note(record, item, answer)
            name = f"{key[0]} {key[1]}"
            if live is None:
                (repaired if renewed and before == "" else created).append(name)
            elif renewed:
                if _fingerprint(item, live) != record.got:
                    repaired.append(name)
            elif version_of(live) != record.version:
                changed.append(name)
        if applied.terminating:
            return Work(created, changed, repaired)
        unwanted = self._unwanted(owner, wanted)
        deleted = [f"{item['kind']} {item['metadata']['name']}" for item in unwanted]
        for item in unwanted:
            await cluster.delete(item)
        for key in set(applied.records) - set(wanted):
            del applied.records[key]
        problems = [record.problem for record in applied.records.values() if record.problem]
        return Work(created, changed, repaired, deleted, problems)

    async def _make(
        self, cluster: Cluster, item: Manifest, live: Manifest | None, *, repair: bool
    ) -> Manifest:
        await _hand_replicas_over(cluster, item, live)
        try:
            return await cluster.apply(item)
        except ApiError as error:
            if not repair or error.status != 422 or "spec" not in item:
                raise
        # What somebody added to a list stays through an apply and may contradict it, as a second port of the same name
        # does: put our lists in place of the ones that are there.
        metadata = item["metadata"]
        await cluster.merge(item["kind"], metadata["namespace"], metadata["name"], {"spec": item["spec"]})
        return await cluster.apply(item)

    def _is_due(self, item: Manifest, live: Manifest | None, record: Record) -> bool:
        now = self._clock()
        if record.asked != _digest(item):
            return True
        if record.problem is not None:
            return now >= record.not_before
        if live is None:
            # Without a uid it was deleted; with one, the watch hasn't told of it yet.
            return not record.uid and now >= record.not_before
        if version_of(live) < record.version:
            return False
        return _fingerprint(item, live) != record.got and now >= record.not_before

    def _conflict(self, owner: Owner, item: Manifest, live: Manifest | None) -> Problem | None:
        if live is None:
            return None
        name = f"{item['kind']} {item['metadata']['name']}"
        controller = controller_of(live)
        if controller is None:
            labels = live["metadata"].get("labels", {})
            same = labels.get("app.kubernetes.io/instance") == owner.child()
            if labels.get("app.kubernetes.io/managed-by") == MANAGER and same:
                return None  # What an earlier resource of this name left behind is adopted.
            return Problem(
                "Conflict",
                f"{name} exists and isn't this resource's: rename this resource, or delete the {item['kind']}",
            )
        if controller["uid"] == owner.uid:
            return None
        if controller["kind"] == KIND and controller["name"] == owner.name:
            return Problem(
                "Conflict",
                f"{name} belongs to an earlier resource of this name and is being deleted with it; if it stays: "
                f"kubectl delete {item['kind'].lower()} {item['metadata']['name']} -n {owner.namespace}",
            )
        return Problem(
            "Conflict",
            f"{name} exists and belongs to {controller['kind']} {controller['name']}: rename this resource",
        )

    def _put_off(self, record: Record, problem: Problem, item: Manifest) -> None:
        fresh = record.asked != _digest(item) or record.problem is None
        record.pause = FIRST_PAUSE_SECONDS if fresh else min(2 * record.pause, LAST_PAUSE_SECONDS)
        record.not_before = self._clock() + record.pause
        record.asked = _digest(item)
        record.problem = problem

    def _note(self, record: Record, item: Manifest, answer: Manifest) -> None:
        now = self._clock()
        digest = _digest(item)
        if record.asked == digest and record.problem is None:
            # A repair. Somebody who undoes each of them gets slower and slower answers.
            calm = now - record.applied_at > CALM_SECONDS
            record.pause = FIRST_PAUSE_SECONDS if calm else min(2 * record.pause, LAST_PAUSE_SECONDS)
            record.pause = record.pause or FIRST_PAUSE_SECONDS
            record.not_before = now + record.pause
        else:
            record.pause, record.not_before = 0.0, float("-inf")
        metadata = answer["metadata"]
        record.problem = None
        record.asked = digest
        record.got = _fingerprint(item, answer)
        record.version = version_of(answer)
        record.generation = int(metadata.get("generation", 0))
        record.uid = str(metadata["uid"])
        record.applied_at = now

    def _unwanted(self, owner: Owner, wanted: dict[tuple[str, str], Manifest]) -> list[Manifest]:
        return [
            item
            for kind in CHILDREN
            for item in self._contents.select(kind, owner.namespace, owner.child())
            if (kind, item["metadata"]["name"]) not in wanted
            and (controller_of(item) or {}).get("uid") == owner.uid
            and not item["metadata"].get("deletionTimestamp")
        ]


def _digest(item: Manifest) -> str:
    return hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()


def _fingerprint(asked: Manifest, item: Manifest) -> str:
    """Return a digest of everything in `item` that somebody sets: not the status, not what the server counts."""
    metadata = item["metadata"]
    annotations = {
        name: value
        for name, value in metadata.get("annotations", {}).items()
        if not name.startswith(_SERVERS_ANNOTATIONS)
    }
    parts = {
        name: value
        for name, value in item.items()
        if name not in {"apiVersion", "kind", "metadata", "status"}
    }
    if asked["kind"] == "Deployment" and "replicas" not in asked["spec"]:
        # An autoscaler's field.
        parts["spec"] = {name: value for name, value in item["spec"].items() if name != "replicas"}
    return _digest(
        {
            "labels": metadata.get("labels", {}),
            "annotations": annotations,
            "owners": metadata.get("ownerReferences", []),
            "deleting": bool(metadata.get("deletionTimestamp")),
            **parts,
        }
    )


async def _hand_replicas_over(cluster: Cluster, item: Manifest, live: Manifest | None) -> None:
    """Keep the number of pods when an autoscaler takes over: giving the field up would reset it to 1.

    https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership
    """
    if item["kind"] != "Deployment" or "replicas" in item["spec"] or live is None or not owns_replicas(live):
        return
    replicas = live["spec"].get("replicas", 1)
    part = {
        "apiVersion": item["apiVersion"],
        "kind": item["kind"],
        "metadata": {"name": item["metadata"]["name"], "namespace": item["metadata"]["namespace"]},
        "spec": {"replicas": replicas},
    }
    await cluster.apply(part, manager=HANDOVER_MANAGER)
