"""Make the cluster what a DimseProxy says, and say in its status what came of it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dimse_mesh.operator.cluster import (
    HANDOVER_MANAGER,
    KINDS,
    ApiError,
    Cluster,
    controller_uid,
    owns_replicas,
)
from dimse_mesh.operator.desired import desired_objects
from dimse_mesh.operator.names import MANAGER, Component, Manifest, Owner
from dimse_mesh.operator.pods import PodReport, ask
from dimse_mesh.operator.resource import KIND, DimseProxySpec
from dimse_mesh.operator.status import Observation, Problem, Seen, seen, status_of
from dimse_mesh.operator.targets import Targets
from dimse_mesh.operator.zone import InvalidResourceError, all_secret_uses, parse_spec

log = logging.getLogger(__name__)

COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
_COMPONENT = "app.kubernetes.io/component"
_CHILDREN = [kind for kind in KINDS if kind not in {KIND, "Pod", "Secret"}]


@dataclass(slots=True)
class Applied:
    """What the operator did for one resource last time; forgotten with the process, then done again."""

    digest: str = ""
    problems: list[Problem] = field(default_factory=list)
    generations: dict[str, int] = field(default_factory=dict)
    """Of the Deployments, as the API server answered."""
    stale: bool = False
    targets: Targets = field(default_factory=Targets)

    def forget(self) -> None:
        """Apply everything again next time, also when this is said while it is being applied."""
        self.stale = True


class Reconciler:
    """Reconciles one resource at a time; keeps no state but `Applied`, which the caller holds."""

    def __init__(self, *, image: str, now: Callable[[], str]) -> None:
        self._image = image
        self._now = now

    async def reconcile(self, cluster: Cluster, resource: Manifest, applied: Applied) -> None:
        """Bring objects and status of `resource` up to date.

        Raises:
            ApiError: a request failed in a way that trying again may help.
        """
        metadata = resource["metadata"]
        owner = Owner(metadata["name"], metadata["namespace"], metadata["uid"])
        generation = metadata.get("generation", 0)
        try:
            spec = parse_spec(resource.get("spec") or {})
            secrets, missing = await self._secrets(cluster, owner, spec)
            objects = desired_objects(owner, spec, default_image=self._image, secret_versions=secrets)
        except InvalidResourceError as error:
            # What runs goes on running: a typing error must not stop a hospital.
            problems = [Problem("InvalidSpec", text) for text in error.problems]
            observation = Observation(generation, problems, await self._services(cluster, owner))
        else:
            await self._apply(cluster, owner, objects, applied)
            services = await self._services(cluster, owner)
            applied.targets.saw(services[Component.SCU].pods)
            observation = Observation(
                generation,
                [*missing, *applied.problems],
                services,
                has_target=bool(spec.remote_aes or spec.target_dimse_host),
                targets=applied.targets.latest,
                objects=[(item["kind"], item["metadata"]["name"]) for item in objects],
            )
        await self._report(cluster, owner, resource, observation)

    async def _secrets(
        self, cluster: Cluster, owner: Owner, spec: DimseProxySpec
    ) -> tuple[dict[str, str], list[Problem]]:
        """Return the Secrets' versions, and what is missing. Their contents are looked at no further."""
        versions: dict[str, str] = {}
        problems: list[Problem] = []
        for use in all_secret_uses(spec):
            secret = await cluster.get("Secret", owner.namespace, use.secret)
            if secret is None:
                text = f"spec.{use.field}: there is no Secret {use.secret} in namespace {owner.namespace}"
                problems.append(Problem("SecretMissing", text))
                continue
            versions[use.secret] = str(secret["metadata"].get("resourceVersion", ""))
            absent = [key for key in use.keys if key not in (secret.get("data") or {})]
            if absent:
                text = f"spec.{use.field}: Secret {use.secret} has no key {', '.join(absent)}"
                problems.append(Problem("SecretMissing", text))
        return versions, problems

    async def _apply(self, cluster: Cluster, owner: Owner, objects: list[Manifest], applied: Applied) -> None:
        digest = hashlib.sha256(json.dumps(objects, sort_keys=True).encode()).hexdigest()
        if digest == applied.digest and not applied.stale:
            return
        applied.stale = False
        applied.problems = []
        for item in objects:
            name = item["metadata"]["name"]
            live = await cluster.get(item["kind"], owner.namespace, name)
            if live is not None and controller_uid(live) != owner.uid:
                text = f"{item['kind']} {name} exists and isn't this resource's: rename one of them"
                applied.problems.append(Problem("Conflict", text))
                continue
            try:
                await _hand_replicas_over(cluster, item, live)
                answer = await cluster.apply(item)
            except ApiError as error:
                if error.status not in {400, 403, 404, 409, 422}:
                    raise
                reason = "Conflict" if error.status == 409 else "ApplyFailed"
                applied.problems.append(Problem(reason, f"{item['kind']} {name}: {error}"))
                continue
            if item["kind"] == "Deployment":
                applied.generations[name] = answer.get("metadata", {}).get("generation", 0)
        wanted = {(item["kind"], item["metadata"]["name"]) for item in objects}
        await self._prune(cluster, owner, wanted)
        log.info("%s/%s: applied %d objects", owner.namespace, owner.name, len(objects))
        # With a problem left, try again next time: what stood in the way may be gone.
        applied.digest = "" if applied.problems else digest

    async def _prune(self, cluster: Cluster, owner: Owner, wanted: set[tuple[str, str]]) -> None:
        labels = {"app.kubernetes.io/instance": owner.child(), "app.kubernetes.io/managed-by": MANAGER}
        for kind in _CHILDREN:
            for item in await cluster.select(kind, owner.namespace, labels):
                name = item["metadata"]["name"]
                if (kind, name) not in wanted and controller_uid(item) == owner.uid:
                    await cluster.delete(kind, owner.namespace, name)

    async def _services(self, cluster: Cluster, owner: Owner) -> dict[Component, Seen]:
        labels = owner.labels()
        del labels["app.kubernetes.io/part-of"]
        deployments = await cluster.select("Deployment", owner.namespace, labels)
        pods = await cluster.select("Pod", owner.namespace, labels)
        found: dict[Component, Seen] = {}
        for component in Component:
            own = [pod for pod in pods if pod["metadata"]["labels"].get(_COMPONENT) == component.value]
            reports = await ask(own, metrics=component.holds_associations)
            if component.holds_associations:
                await self._set_deletion_costs(cluster, owner, reports)
            name = owner.child(component)
            found[component] = seen(
                next((item for item in deployments if item["metadata"]["name"] == name), None), reports
            )
        return found

    async def _set_deletion_costs(self, cluster: Cluster, owner: Owner, reports: list[PodReport]) -> None:
        """Let scale-in take the pods first that carry the fewest associations."""
        if len(reports) < 2:
            return
        for report in reports:
            if report.associations is not None and report.associations != (report.deletion_cost or 0):
                change = {"metadata": {"annotations": {COST_ANNOTATION: str(report.associations)}}}
                await cluster.merge("Pod", owner.namespace, report.name, change)

    async def _report(
        self, cluster: Cluster, owner: Owner, resource: Manifest, observation: Observation
    ) -> None:
        before: Mapping[str, object] = resource.get("status") or {}
        conditions = before.get("conditions")
        previous = conditions if isinstance(conditions, list) else []
        status = status_of(self._now(), observation, previous)
        if status != before:
            await cluster.merge(KIND, owner.namespace, owner.name, {"status": status}, subresource="status")
            if status["message"] != before.get("message"):
                log.info("%s/%s: %s: %s", owner.namespace, owner.name, status["phase"], status["message"])


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
