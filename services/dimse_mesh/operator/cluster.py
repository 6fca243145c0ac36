"""Requests to the API server: read, apply, delete and watch objects by kind, namespace and name."""

from __future__ import annotations

import json
import random
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp

from dimse_mesh.operator.credentials import Credentials
from dimse_mesh.operator.names import MANAGER, Manifest
from dimse_mesh.operator.resource import GROUP, KIND, PLURAL, VERSION

REQUEST_SECONDS = 15.0
WATCH_SECONDS = 300
"""How long one watch lasts; up to twice that, so that not all end at once."""
SILENCE_SECONDS = 120.0
"""A watch that says nothing for so long is dead: bookmarks come every minute."""
MAX_REASON = 300

KINDS: Mapping[str, tuple[str, str]] = {
    KIND: (f"{GROUP}/{VERSION}", PLURAL),
    "ConfigMap": ("v1", "configmaps"),
    "Event": ("v1", "events"),
    "Pod": ("v1", "pods"),
    "Secret": ("v1", "secrets"),
    "Service": ("v1", "services"),
    "Deployment": ("apps/v1", "deployments"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "horizontalpodautoscalers"),
    "ScaledObject": ("keda.sh/v1alpha1", "scaledobjects"),
    "Lease": ("coordination.k8s.io/v1", "leases"),
}
CHILDREN = (
    "ConfigMap",
    "Service",
    "Deployment",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "ScaledObject",
)
"""Kinds of which a resource owns objects."""

_NOT_AN_OBJECT = re.compile("failed to (convert new object|create typed patch object)")

_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

Counted = Callable[[str, str, int], None]
"""Called for each request: verb, kind, HTTP status."""


class ApiError(Exception):
    """The API server refused a request, or couldn't be asked.

    Attributes:
        status: HTTP status; 0 when there was no answer.
        fields: paths of the fields that the server named as the cause.
    """

    def __init__(self, status: int, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.fields = fields

    @property
    def passing(self) -> bool:
        """True when the same request may succeed later though nobody changes anything."""
        if self.status == 500 and _NOT_AN_OBJECT.match(str(self)):
            return False  # What was sent is at fault, whatever the status says.
        return self.status in {0, 429} or self.status >= 500


@asynccontextmanager
async def connected(login: Credentials, counted: Counted = lambda *_: None) -> AsyncIterator[Cluster]:
    """Give a client for as long as the block lasts."""
    connector = aiohttp.TCPConnector(ssl=login.tls if login.tls is not None else True, limit=0)
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Cluster(session, login, counted)


class Cluster:
    """Requests by kind, namespace and name."""

    def __init__(self, session: aiohttp.ClientSession, login: Credentials, counted: Counted) -> None:
        self._session = session
        self._login = login
        self._counted = counted

    async def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return the object, or None when there is none (or no such kind)."""
        try:
            return await self._request("GET", kind, self._url(kind, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(
        self, kind: str, namespace: str | None, labels: Mapping[str, str]
    ) -> tuple[list[Manifest], str]:
        """Return the objects with these labels, of one or of all namespaces, and the version of that list.

        Raises:
            ApiError: with status 404, when the cluster has no such kind.
        """
        answer = await self._request("GET", kind, self._url(kind, namespace), query=_selector(labels))
        version, _ = KINDS[kind]
        # Items of a list carry neither kind nor version.
        items = [{"apiVersion": version, "kind": kind, **item} for item in answer.get("items") or ()]
        return items, str(answer["metadata"]["resourceVersion"])

    async def metadata(self, kind: str, namespace: str) -> dict[str, Manifest]:
        """Return the metadata of every object of a kind, whoever made it, by name."""
        try:
            answer = await self._request("GET", kind, self._url(kind, namespace), accept=_METADATA_ONLY)
        except ApiError as error:
            if error.status == 404:
                return {}
            raise
        return {item["metadata"]["name"]: item["metadata"] for item in answer.get("items") or ()}

    async def watch(
        self, kind: str, namespace: str | None, labels: Mapping[str, str], version: str
    ) -> AsyncIterator[tuple[str, Manifest]]:
        """Yield (type, object) for what happens after `version`; types are those of the API, BOOKMARK included.

        It ends when the server ends it: watch again, from the last version seen.

        Raises:
            ApiError: the watch was refused (410: list again), or broke.
        """
        query = {
            **_selector(labels),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(random.randint(WATCH_SECONDS, 2 * WATCH_SECONDS)),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_SECONDS, sock_read=SILENCE_SECONDS)
        url = self._url(kind, namespace)
        try:
            async with self._session.get(
                url, params=query, headers=self._headers(), timeout=timeout, allow_redirects=False
            ) as response:
                self._counted("watch", kind, response.status)
                if response.status >= 300:
                    raise _refusal(response.status, await response.text(errors="replace"))
                rest = b""
                async for part in response.content.iter_any():
                    *lines, rest = (rest + part).split(b"\n")
                    for line in lines:
                        event: Any = json.loads(line)
                        if event["type"] == "ERROR":
                            status = event["object"]
                            raise ApiError(int(status.get("code", 0)), str(status.get("message", "")))
                        yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:  # the last: a proxy's page, no JSON
            raise ApiError(0, f"a watch broke: {type(error).__name__}") from error

    async def create(self, item: Manifest) -> Manifest:
        """Create an object."""
        url = self._url(item["kind"], item["metadata"]["namespace"])
        return await self._request("POST", item["kind"], url, body=item)

    async def apply(self, item: Manifest, *, manager: str = MANAGER) -> Manifest:
        """Make the object what `item` says, by server-side apply: create it, or change what we own."""
        metadata = item["metadata"]
        return await self._request(
            "PATCH",
            item["kind"],
            self._url(item["kind"], metadata["namespace"], metadata["name"]),
            query={"fieldManager": manager, "force": "true"},
            body=item,
            content_type="application/apply-patch+yaml",
        )

    async def merge(
        self, kind: str, namespace: str, name: str, change: Manifest, *, subresource: str = ""
    ) -> Manifest | None:
        """Change some fields, and return the object; None when it is gone."""
        url = self._url(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        try:
            return await self._request(
                "PATCH",
                kind,
                url,
                query={"fieldManager": MANAGER},
                body=change,
                content_type="application/merge-patch+json",
            )
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def delete(self, item: Manifest) -> None:
        """Delete the object that `item` is, and in the background what it owns.

        Nothing happens when it is gone, or when another object has taken its name.
        """
        metadata = item["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": metadata["uid"]},
        }
        url = self._url(item["kind"], metadata["namespace"], metadata["name"])
        try:
            await self._request("DELETE", item["kind"], url, body=body)
        except ApiError as error:
            if error.status not in {404, 409}:
                raise

    def _url(self, kind: str, namespace: str | None, name: str = "") -> str:
        version, plural = KINDS[kind]
        url = f"{self._login.server}/{'api' if version == 'v1' else 'apis'}/{version}"
        if namespace is not None:
            url += f"/namespaces/{quote(namespace)}"
        return f"{url}/{plural}" + (f"/{quote(name)}" if name else "")

    def _headers(self) -> dict[str, str]:
        return {"Accept": "application/json", **self._login.headers()}

    async def _request(
        self,
        method: str,
        kind: str,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Manifest:
        data = json.dumps(body) if body is not None else None
        headers = {**self._headers(), "Content-Type": content_type, "Accept": accept}
        try:
            async with self._session.request(
                method, url, params=query, data=data, headers=headers, allow_redirects=False
            ) as response:
                text = await response.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            self._counted(method, kind, 0)
            raise ApiError(0, f"the API server can't be reached: {type(error).__name__}") from error
        self._counted(method, kind, response.status)
        if response.status >= 300:
            raise _refusal(response.status, text)
        answer = _document(text)
        if answer is None:
            raise ApiError(0, f"{method} was answered with status {response.status} and no JSON object")
        return answer


def _selector(labels: Mapping[str, str]) -> dict[str, str]:
    text = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return {"labelSelector": text} if text else {}


def _refusal(status: int, text: str) -> ApiError:
    """Return the error for an answer that is one.

    A path that the server doesn't know is answered in plain text, and a proxy may answer HTML: the status counts,
    whatever the body is.
    """
    answer = _document(text)
    causes = ((answer or {}).get("details") or {}).get("causes") or ()
    fields = tuple(str(cause["field"]) for cause in causes if cause.get("field"))
    return ApiError(status, _reason(answer, text) or f"HTTP status {status}", fields)


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


def controller_of(item: Manifest) -> Manifest | None:
    """Return the owner reference to the object's controller, if it has one."""
    for reference in item.get("metadata", {}).get("ownerReferences", ()):
        if reference.get("controller"):
            found: Manifest = reference
            return found
    return None


def owns_replicas(item: Manifest) -> bool:
    """Tell whether our own field manager set `spec.replicas`."""
    return any(
        entry.get("manager") == MANAGER and "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
        for entry in item.get("metadata", {}).get("managedFields", ())
    )
