"""The few requests that the operator makes to the API server itself; watching is kopf's part."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import kopf

from dimse_mesh.operator.names import MANAGER, Manifest
from dimse_mesh.operator.resource import GROUP, KIND, PLURAL, VERSION

REQUEST_SECONDS = 15.0
MAX_REASON = 300

KINDS: Mapping[str, tuple[str, str]] = {
    KIND: (f"{GROUP}/{VERSION}", PLURAL),
    "ConfigMap": ("v1", "configmaps"),
    "Pod": ("v1", "pods"),
    "Secret": ("v1", "secrets"),
    "Service": ("v1", "services"),
    "Deployment": ("apps/v1", "deployments"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "horizontalpodautoscalers"),
    "ScaledObject": ("keda.sh/v1alpha1", "scaledobjects"),
}

HANDOVER_MANAGER = f"{MANAGER}-handover"


class ApiError(Exception):
    """The API server refused a request, or couldn't be asked.

    Attributes:
        status: HTTP status; 0 when there was no answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@asynccontextmanager
async def connected(login: Callable[[], kopf.ConnectionInfo]) -> AsyncIterator[Cluster]:
    """Give a client with credentials read afresh: a service account's token changes every hour.

    Raises:
        ApiError: there are no credentials.
    """
    info = login()
    secure = info.server.startswith("https:")
    connector = aiohttp.TCPConnector(ssl=info.as_ssl_context() if secure else True)
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    async with aiohttp.ClientSession(
        connector=connector, headers=info.as_http_headers(), timeout=timeout
    ) as session:
        yield Cluster(session, info.server)


class Cluster:
    """Requests by kind, namespace and name."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = server.rstrip("/")

    async def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return the object, or None when there is none (or no such kind)."""
        try:
            return await self._request("GET", self._url(kind, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def select(self, kind: str, namespace: str, labels: Mapping[str, str]) -> list[Manifest]:
        """Return the objects with these labels; none when the cluster has no such kind."""
        query = {"labelSelector": ",".join(f"{name}={value}" for name, value in sorted(labels.items()))}
        try:
            answer = await self._request("GET", self._url(kind, namespace), query=query)
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        return [item for item in answer.get("items", ()) if _labelled(item, labels)]

    async def apply(self, item: Manifest, *, manager: str = MANAGER) -> Manifest:
        """Make the object what `item` says, by server-side apply: create it, or change what we own."""
        metadata = item["metadata"]
        return await self._request(
            "PATCH",
            self._url(item["kind"], metadata["namespace"], metadata["name"]),
            query={"fieldManager": manager, "force": "true"},
            body=item,
            content_type="application/apply-patch+yaml",
        )

    async def merge(
        self, kind: str, namespace: str, name: str, change: Manifest, *, subresource: str = ""
    ) -> None:
        """Change some fields; nothing happens when the object is gone."""
        url = self._url(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        try:
            await self._request(
                "PATCH",
                url,
                query={"fieldManager": MANAGER},
                body=change,
                content_type="application/merge-patch+json",
            )
        except ApiError as error:
            if error.status != 404:
                raise

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete the object and, in the background, what it owns; nothing happens when it is gone."""
        try:
            await self._request(
                "DELETE", self._url(kind, namespace, name), query={"propagationPolicy": "Background"}
            )
        except ApiError as error:
            if error.status != 404:
                raise

    def _url(self, kind: str, namespace: str, name: str = "") -> str:
        version, plural = KINDS[kind]
        root = "api" if version == "v1" else "apis"
        url = f"{self._server}/{root}/{version}/namespaces/{namespace}/{plural}"
        return f"{url}/{name}" if name else url

    async def _request(
        self,
        method: str,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        data = json.dumps(body) if body is not None else None
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        try:
            async with self._session.request(
                method, url, params=query, data=data, headers=headers
            ) as response:
                text = await response.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(0, f"the API server can't be reached: {type(error).__name__}") from error
        # A path that the server doesn't know is answered in plain text, and a proxy may answer HTML: the status
        # counts, whatever the body is.
        answer = _document(text)
        if response.status >= 400:
            raise ApiError(response.status, _reason(answer, text) or f"HTTP status {response.status}")
        if answer is None:
            raise ApiError(0, f"{method} was answered with status {response.status} and no JSON object")
        return answer


def _document(text: str) -> Manifest | None:
    try:
        answer: Any = json.loads(text)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _reason(answer: Manifest | None, text: str) -> str:
    """Return what a refusal says: the message of a Status, or the first line of a text that is no page."""
    if answer is not None:
        return str(answer.get("message") or "")
    line = text.strip().partition("\n")[0]
    return "" if line.startswith("<") else line[:MAX_REASON]


def _labelled(item: Manifest, labels: Mapping[str, str]) -> bool:
    found: dict[str, str] = item.get("metadata", {}).get("labels", {})
    return labels.items() <= found.items()


def controller_uid(item: Manifest) -> str | None:
    """Return the uid of the object's controller, if it has one."""
    for reference in item.get("metadata", {}).get("ownerReferences", ()):
        if reference.get("controller"):
            return str(reference["uid"])
    return None


def owns_replicas(item: Manifest) -> bool:
    """Tell whether our own field manager set `spec.replicas`."""
    return any(
        entry.get("manager") == MANAGER and "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
        for entry in item.get("metadata", {}).get("managedFields", ())
    )
