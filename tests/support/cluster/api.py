"""A small client of the Kubernetes API for tests: objects by kind and name, watches, conditions of a status."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

import yaml

from tests.support.process import wait_until

Manifest = dict[str, Any]

KINDS: Mapping[str, tuple[str, str]] = {
    "DimseProxy": ("imaging-ingestion.alvearie.org/v1alpha1", "dimseproxies"),
    "ConfigMap": ("v1", "configmaps"),
    "Event": ("v1", "events"),
    "Namespace": ("v1", "namespaces"),
    "Node": ("v1", "nodes"),
    "Pod": ("v1", "pods"),
    "ResourceQuota": ("v1", "resourcequotas"),
    "Secret": ("v1", "secrets"),
    "Service": ("v1", "services"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "Deployment": ("apps/v1", "deployments"),
    "ReplicaSet": ("apps/v1", "replicasets"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "horizontalpodautoscalers"),
    "ScaledObject": ("keda.sh/v1alpha1", "scaledobjects"),
    "Lease": ("coordination.k8s.io/v1", "leases"),
    "Role": ("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "rolebindings"),
    "ClusterRole": ("rbac.authorization.k8s.io/v1", "clusterroles"),
    "ClusterRoleBinding": ("rbac.authorization.k8s.io/v1", "clusterrolebindings"),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "ValidatingWebhookConfiguration": (
        "admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
    ),
    "ValidatingAdmissionPolicy": ("admissionregistration.k8s.io/v1", "validatingadmissionpolicies"),
    "ValidatingAdmissionPolicyBinding": (
        "admissionregistration.k8s.io/v1",
        "validatingadmissionpolicybindings",
    ),
}
CLUSTER_SCOPED = {
    "Namespace",
    "Node",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
MADE = (
    "ConfigMap",
    "Service",
    "Deployment",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "ScaledObject",
)
"""Kinds that the operator makes."""


class Refused(AssertionError):
    """The API server refused a request.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """Requests as one user; usable from several threads, with a connection for each."""

    def __init__(self, url: str, token: str, context: ssl.SSLContext) -> None:
        self._host = urlsplit(url).netloc
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._context = context
        self._local = threading.local()
        self.namespaces_deleted: dict[str, datetime] = {}
        """When this API was told to delete each namespace."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close this thread's connection."""
        connection: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()

    def _connect(self, timeout: float = 60) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._host, context=self._context, timeout=timeout)

    def raw(
        self, method: str, path: str, body: Manifest | None = None, content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """Make one request; return status and body."""
        headers = {**self._headers, "Content-Type": content_type}
        data = json.dumps(body).encode() if body is not None else None
        for attempt in (1, 2):
            if getattr(self._local, "connection", None) is None:
                self._local.connection = self._connect()
            try:
                self._local.connection.request(method, path, data, headers)
                response = self._local.connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException):
                # The server closes idle connections.
                self._local.connection.close()
                self._local.connection = None
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def ask(
        self, method: str, path: str, body: Manifest | None = None, content_type: str = "application/json"
    ) -> Manifest:
        """Make one request; return the object in the answer.

        Raises:
            Refused: with the status, when it is 400 or more.
        """
        status, text = self.raw(method, path, body, content_type)
        if status >= 400:
            with suppress(ValueError):
                text = str(json.loads(text).get("message", text)).encode()
            raise Refused(status, text.decode(errors="replace"))
        answer = json.loads(text)
        assert isinstance(answer, dict)
        return answer

    def path(self, kind: str, name: str = "", *, namespace: str = "", **query: str) -> str:
        """Return the path of an object, or of all objects of a kind (in all namespaces, without one)."""
        version, plural = KINDS[kind]
        path = f"/{'api' if version == 'v1' else 'apis'}/{version}"
        if namespace and kind not in CLUSTER_SCOPED:
            path += f"/namespaces/{namespace}"
        path += f"/{plural}"
        if name:
            path += f"/{quote(name)}"
        return path + (f"?{urlencode(query)}" if query else "")

    def get(self, kind: str, name: str, *, namespace: str = "") -> Manifest | None:
        """Return an object, or None when there is none."""
        try:
            return self.ask("GET", self.path(kind, name, namespace=namespace))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def list(self, kind: str, *, namespace: str = "", **query: str) -> list[Manifest]:
        """Return the objects of a kind; none where the cluster has no such kind."""
        try:
            items: list[Manifest] = self.ask("GET", self.path(kind, namespace=namespace, **query))["items"]
        except Refused as refused:
            if refused.status == 404:
                return []
            raise
        return items

    def create(self, item: Manifest) -> Manifest:
        """Create an object."""
        namespace = item["metadata"].get("namespace", "")
        return self.ask("POST", self.path(item["kind"], namespace=namespace), item)

    def apply(self, *items: Manifest) -> None:
        """Apply objects by server-side apply."""
        for item in items:
            metadata = item["metadata"]
            path = self.path(
                item["kind"],
                metadata["name"],
                namespace=metadata.get("namespace", ""),
                fieldManager="test",
                force="true",
            )
            self.ask("PATCH", path, item, "application/apply-patch+yaml")

    def patch(
        self, kind: str, name: str, change: Manifest, *, namespace: str = "", subresource: str = ""
    ) -> Manifest:
        """Change an object by a merge patch."""
        path = self.path(kind, name, namespace=namespace) + (f"/{subresource}" if subresource else "")
        return self.ask("PATCH", path, change, "application/merge-patch+json")

    def delete(self, kind: str, name: str, *, namespace: str = "", **query: str) -> None:
        """Delete an object; nothing happens when it is gone."""
        if kind == "Namespace":
            self.namespaces_deleted.setdefault(name, datetime.now())  # when its bindings began to go
        with suppress(Refused):
            self.ask("DELETE", self.path(kind, name, namespace=namespace, **query))

    def watch(self, kind: str, version: str, stopped: threading.Event) -> Iterator[tuple[str, Manifest]]:
        """Yield (type, object) from a resource version on, until `stopped` or until that version is too old."""
        while not stopped.is_set():
            # The server ends it after two seconds: a socket that timed out here could not be read any further.
            path = self.path(kind, watch="true", resourceVersion=version, timeoutSeconds="2")
            connection = self._connect()
            connection.request("GET", path, headers=self._headers)
            response = connection.getresponse()
            try:
                for line in response:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    version = event["object"]["metadata"]["resourceVersion"]
                    yield event["type"], event["object"]
            finally:
                response.close()
                connection.close()


class Namespace:
    """One namespace of a test: its objects, and waiting for what should become of them."""

    def __init__(self, api: Api, name: str) -> None:
        self.api = api
        self.name = name

    def create(self, kind: str, name: str, **parts: Any) -> Manifest:
        """Create an object; `parts` are its other top-level fields."""
        metadata = {"name": name, "namespace": self.name, **parts.pop("metadata", {})}
        return self.api.create({"apiVersion": KINDS[kind][0], "kind": kind, "metadata": metadata, **parts})

    def get(self, kind: str, name: str) -> Manifest:
        """Return an object.

        Raises:
            KeyError: there is none.
        """
        found = self.api.get(kind, name, namespace=self.name)
        if found is None:
            raise KeyError(f"{kind} {name}")
        return found

    def patch(self, kind: str, name: str, change: Manifest, subresource: str = "") -> Manifest:
        """Change an object by a merge patch."""
        return self.api.patch(kind, name, change, namespace=self.name, subresource=subresource)

    def delete(self, kind: str, name: str, **query: str) -> None:
        """Delete an object; nothing happens when it is gone."""
        self.api.delete(kind, name, namespace=self.name, **query)

    def names(self, kind: str) -> set[str]:
        """Return the names of the objects of a kind."""
        return {item["metadata"]["name"] for item in self.api.list(kind, namespace=self.name)}

    def made(self) -> set[tuple[str, str]]:
        """Return (kind, name) of everything that an operator made here."""
        query = {"labelSelector": "app.kubernetes.io/managed-by=dimse-mesh-operator"}
        return {
            (kind, item["metadata"]["name"])
            for kind in MADE
            for item in self.api.list(kind, namespace=self.name, **query)
        }

    def status(self, name: str) -> Manifest:
        """Return the status of a DimseProxy; empty before there is one."""
        found = self.get("DimseProxy", name).get("status", {})
        assert isinstance(found, dict)
        return found

    def condition(self, name: str, kind: str) -> Manifest:
        """Return one condition of a DimseProxy; empty before there is one."""
        conditions: list[Manifest] = self.status(name).get("conditions", [])
        return next((one for one in conditions if one["type"] == kind), {})

    def until(self, condition: Any, what: str, *, timeout: float = 60) -> None:
        """Wait until `condition()` holds; a KeyError means that it doesn't yet.

        Raises:
            AssertionError: it did not within `timeout` seconds; the text shows every DimseProxy's status.
        """

        def holds() -> bool:
            try:
                return bool(condition())
            except KeyError:
                return False

        try:
            wait_until(holds, what, timeout=timeout)
        except AssertionError as error:
            statuses = {
                item["metadata"]["name"]: {
                    "message": item.get("status", {}).get("message"),
                    "conditions": {
                        one["type"]: f"{one['status']} {one['reason']} {one['observedGeneration']}"
                        for one in item.get("status", {}).get("conditions", ())
                    },
                }
                for item in self.api.list("DimseProxy", namespace=self.name)
            }
            raise AssertionError(f"{error}\n{yaml.safe_dump(statuses)}") from None

    def until_ready(self, name: str, *, timeout: float = 60) -> None:
        """Wait until a DimseProxy's latest generation is Ready."""

        def ready() -> bool:
            item = self.get("DimseProxy", name)
            found = self.condition(name, "Ready")
            generation = item["metadata"]["generation"]
            return found.get("status") == "True" and found.get("observedGeneration") == generation

        self.until(ready, f"{name} is Ready", timeout=timeout)
