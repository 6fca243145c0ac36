"""Make the cluster what a DimseProxy says, and say in its status what came of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dimse_mesh.operator.applying import Applied, Applier, Work
from dimse_mesh.operator.cluster import ApiError, Cluster
from dimse_mesh.operator.desired import desired_objects
from dimse_mesh.operator.events import Recorder, Told
from dimse_mesh.operator.limits import DEFAULT_LIMITS, EditorLimits, exceeded
from dimse_mesh.operator.names import PAUSED_ANNOTATION, Component, Manifest, Owner
from dimse_mesh.operator.pods import PodClient, PodReport
from dimse_mesh.operator.queues import QueueSeen, merged
from dimse_mesh.operator.resource import KIND, DimseProxySpec
from dimse_mesh.operator.secrets import Known, SecretReader, digests
from dimse_mesh.operator.status import COUNTS, Observation, Problem, Seen, change_of, seen, status_of
from dimse_mesh.operator.targets import Targets
from dimse_mesh.operator.watching import Contents, version_of
from dimse_mesh.operator.zone import (
    InvalidResourceError,
    all_secret_uses,
    components,
    keeps_objects,
    parse_spec,
    zone_name,
)

log = logging.getLogger(__name__)

COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
COST_SECONDS = 60.0
"""How often the deletion costs of a zone's pods are brought up to date, at most."""
SEE_QUEUES = frozenset({Component.STORE, Component.DELIVERY})
_COMPONENT = "app.kubernetes.io/component"


@dataclass(slots=True)
class Desired:
    """The objects that were made of a generation of the resource and of its Secrets: the same until one changes."""

    generation: int = -1
    spec: DimseProxySpec | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    objects: Sequence[Manifest] = ()


@dataclass(slots=True)
class Memory:
    """What the operator knows of one resource; forgotten with the process, then found out again."""

    applied: Applied = field(default_factory=Applied)
    desired: Desired = field(default_factory=Desired)
    secrets: Known = field(default_factory=Known)
    targets: Targets = field(default_factory=Targets)
    told: Told = field(default_factory=Told)
    status: Mapping[str, object] = field(default_factory=dict)
    """As last written by us, used until the watch brings it back."""
    version: int = 0
    """Resource version of that status."""
    written_at: float = float("-inf")
    costs_at: float = float("-inf")
    queues: Sequence[QueueSeen] = ()
    """As pods said last."""

    def due(self) -> float:
        """Return when there is something to do though nothing changes."""
        return float("inf") if self.applied.terminating else min(self.applied.due(), self.secrets.due())


class Reconciler:
    """Reconciles one resource at a time; keeps no state but `Memory`, which the caller holds.

    Args:
        count_seconds: how often, at most, a status is written for nothing but another count.
        limits: what a resource may choose.
    """

    def __init__(
        self,
        contents: Contents,
        pods: PodClient,
        *,
        image: str,
        now: Callable[[], str],
        clock: Callable[[], float],
        count_seconds: float,
        limits: EditorLimits = DEFAULT_LIMITS,
    ) -> None:
        self._contents = contents
        self._pods = pods
        self._image = image
        self._now = now
        self._clock = clock
        self._count_seconds = count_seconds
        self._limits = limits
        self._applier = Applier(contents, clock)
        self._secrets = SecretReader(clock)
        self._events = Recorder(clock, now)

    async def reconcile(self, cluster: Cluster, resource: Manifest, memory: Memory) -> Work:
        """Bring objects and status of `resource` up to date; return what was done.

        Raises:
            ApiError: a request failed in a way that trying again may help.
        """
        metadata = resource["metadata"]
        owner = Owner(metadata["name"], metadata["namespace"], metadata["uid"])
        generation = metadata.get("generation", 0)
        paused = (metadata.get("annotations") or {}).get(PAUSED_ANNOTATION) == "true"
        work = Work()
        if memory.applied.terminating:
            return work
        try:
            spec = self._spec(owner, resource, memory.desired)
            objects = memory.desired.objects
        except InvalidResourceError as error:
            # What runs goes on running: a typing error must not stop a hospital.
            problems = [Problem("InvalidSpec", text) for text in error.problems]
            services = await self._services(owner, memory, self._running(owner))
            observation = Observation(generation, problems, services, paused=paused)
        else:
            missing: list[Problem] = []
            if not paused:
                missing, objects = await self._with_secrets(cluster, owner, spec, memory)
                work = await self._applier.apply(cluster, owner, objects, memory.applied)
                if memory.applied.terminating:
                    log.info("%s/%s: the namespace is being deleted", owner.namespace, owner.name)
                    return work
            services = await self._services(owner, memory, components(spec))
            memory.targets.saw(services[Component.SCU].pods)
            observation = Observation(
                generation,
                [*missing, *work.problems],
                services,
                has_target=bool(spec.remote_aes or spec.target_dimse_host),
                targets=memory.targets.latest,
                zone=zone_name(spec),
                keeps=keeps_objects(spec),
                delivers=spec.delivery is not None,
                queues=_queues(services, memory),
                objects=[(item["kind"], item["metadata"]["name"]) for item in objects],
                paused=paused,
            )
            await self._set_deletion_costs(cluster, owner, spec, services, memory)
        await self._tell(cluster, resource, work, memory)
        await self._report(cluster, resource, observation, memory)
        return work

    def _spec(self, owner: Owner, resource: Manifest, desired: Desired) -> DimseProxySpec:
        """Return the resource's spec; what is wished for by it is in `desired` afterwards.

        Raises:
            InvalidResourceError: a setting is not valid, or not allowed.
        """
        generation = resource["metadata"].get("generation", 0)
        if desired.spec is None or desired.generation != generation:
            desired.spec = None
            spec = parse_spec(resource.get("spec") or {})
            if problems := exceeded(spec, self._limits, default_image=self._image):
                raise InvalidResourceError(problems)
            desired.objects = desired_objects(owner, spec, default_image=self._image)
            desired.spec, desired.generation, desired.digests = spec, generation, {}
        return desired.spec

    async def _with_secrets(
        self, cluster: Cluster, owner: Owner, spec: DimseProxySpec, memory: Memory
    ) -> tuple[list[Problem], Sequence[Manifest]]:
        """Return which Secrets are missing, and the desired objects with the digests of those that aren't."""
        uses = all_secret_uses(spec)
        missing = await self._secrets.look(cluster, owner.namespace, uses, memory.secrets)
        deployments = self._contents.select("Deployment", owner.namespace, owner.child())
        found = digests(uses, memory.secrets, deployments)
        desired = memory.desired
        if found != desired.digests:
            desired.objects = desired_objects(owner, spec, default_image=self._image, secret_digests=found)
            desired.digests = found
        return missing, desired.objects

    def _running(self, owner: Owner) -> list[Component]:
        """Return the services that have a Deployment: all that is known of a resource that isn't valid."""
        found = self._contents.select("Deployment", owner.namespace, owner.child())
        names = {item["metadata"]["name"] for item in found}
        return [one for one in Component if owner.child(one) in names]

    async def _services(
        self, owner: Owner, memory: Memory, wanted: Iterable[Component]
    ) -> dict[Component, Seen]:
        pods = [
            pod
            for pod in self._contents.select("Pod", owner.namespace, owner.child())
            if not pod["metadata"].get("deletionTimestamp")
        ]
        found: dict[Component, Seen] = {}
        for component in wanted:
            own = [pod for pod in pods if pod["metadata"]["labels"].get(_COMPONENT) == component.value]
            reports = await self._pods.ask(
                own, metrics=component.holds_associations or component in SEE_QUEUES
            )
            name = owner.child(component)
            found[component] = seen(
                self._contents.get("Deployment", owner.namespace, name),
                reports,
                generation=memory.applied.generation("Deployment", name),
            )
        return found

    async def _set_deletion_costs(
        self,
        cluster: Cluster,
        owner: Owner,
        spec: DimseProxySpec,
        services: Mapping[Component, Seen],
        memory: Memory,
    ) -> None:
        """Let scale-in take the pods first that carry the fewest associations."""
        if self._clock() - memory.costs_at < COST_SECONDS:
            return
        for component, one in services.items():
            scaled = getattr(spec.services, component.field).autoscaling is not None or one.desired > 1
            if scaled and len(one.pods) > 1 and await _costs(cluster, owner, one.pods):
                memory.costs_at = self._clock()

    async def _tell(self, cluster: Cluster, resource: Manifest, work: Work, memory: Memory) -> None:
        for reason, names, warning in (
            ("Created", work.created, False),
            ("Changed", work.changed, False),
            ("Repaired", work.repaired, True),
            ("Deleted", work.deleted, False),
        ):
            if names:
                text = _summary(names)
                log.info(
                    "%s/%s: %s %s",
                    resource["metadata"]["namespace"],
                    resource["metadata"]["name"],
                    reason.lower(),
                    text,
                )
                await self._events.tell(cluster, resource, memory.told, reason, text, warning=warning)

    async def _report(
        self, cluster: Cluster, resource: Manifest, observation: Observation, memory: Memory
    ) -> None:
        metadata = resource["metadata"]
        current = version_of(resource) >= memory.version
        before: Mapping[str, object] = (resource.get("status") or {}) if current else memory.status
        conditions = before.get("conditions")
        previous = conditions if isinstance(conditions, list) else []
        status = status_of(self._now(), observation, previous)
        if status == before:
            return
        counted = {**status, **{name: before[name] for name in COUNTS if name in before and name in status}}
        if counted == before and self._clock() - memory.written_at < self._count_seconds:
            return
        change = {"status": change_of(status, before)}
        answer = await cluster.merge(
            KIND, metadata["namespace"], metadata["name"], change, subresource="status"
        )
        if answer is None:
            return
        memory.status, memory.version, memory.written_at = status, version_of(answer), self._clock()
        ready = status["conditions"][0]
        was: Manifest = next((one for one in previous if one["type"] == "Ready"), {})
        if (ready["status"], ready["reason"], ready["message"]) != (
            was.get("status"),
            was.get("reason"),
            was.get("message"),
        ):
            log.info(
                "%s/%s: %s: %s", metadata["namespace"], metadata["name"], status["phase"], status["message"]
            )
        if (ready["status"], ready["reason"]) != (was.get("status"), was.get("reason")):
            reason = "Ready" if status["ready"] else str(ready["reason"])
            warning = status["phase"] in {"Degraded", "Invalid"}
            await self._events.tell(
                cluster, resource, memory.told, reason, status["message"], warning=warning
            )


def _queues(services: Mapping[Component, Seen], memory: Memory) -> Sequence[QueueSeen]:
    """Return what pods see of the queues; while none answers, what they saw last."""
    found = merged(queue for one in services.values() for pod in one.pods for queue in pod.queues)
    if found:
        memory.queues = found
    return memory.queues


def _summary(names: Sequence[str]) -> str:
    if len(names) <= 3:
        return ", ".join(names)
    return f"{len(names)} objects: {', '.join(names[:2])} and others"


async def _costs(cluster: Cluster, owner: Owner, reports: Sequence[PodReport]) -> bool:
    """Write the costs that changed; tell whether there were any."""
    written = False
    for report in reports:
        if report.associations is not None and report.associations != (report.deletion_cost or 0):
            change = {"metadata": {"annotations": {COST_ANNOTATION: str(report.associations)}}}
            try:
                await cluster.merge("Pod", owner.namespace, report.name, change)
            except ApiError as error:
                if error.passing:
                    raise
                log.info("%s/%s: no deletion cost: %s", owner.namespace, report.name, error)
            written = True
    return written
