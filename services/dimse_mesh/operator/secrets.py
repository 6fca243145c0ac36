"""The Secrets that a resource uses: whether they and their keys are there, and whether the used data changed.

They are read by name, never listed or watched: one every `LOOK_SECONDS` for each resource, a missing one a little more
often at first. What is kept of them is a short digest of the used keys' data, enough to tell that they changed and too
short to verify a guess by. The digests stand in an annotation of the pods, so a change replaces the pods that use the
Secret; while a Secret is missing its last known digest stays, so its deletion replaces nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from dimse_mesh.operator.cluster import ApiError, Cluster
from dimse_mesh.operator.names import SECRETS_ANNOTATION, Manifest
from dimse_mesh.operator.status import Problem
from dimse_mesh.operator.zone import SecretUse

LOOK_SECONDS = 60.0
FIRST_LOOK_AGAIN_SECONDS = 2.0
DIGEST_LENGTH = 8


@dataclass(slots=True)
class _Looked:
    """One Secret as it was when last read."""

    at: float = float("-inf")
    pause: float = 0.0
    keys: frozenset[str] = frozenset()
    data: Mapping[str, str] | None = None
    """Digest by key; None while there is no such Secret."""
    is_forbidden: bool = False
    """Whether we may not read it: then nobody knows whether it is there."""


@dataclass(slots=True)
class Known:
    """What is known of the Secrets of one resource."""

    looked: dict[str, _Looked] = field(default_factory=dict)

    def due(self) -> float:
        """Return when the next Secret should be read; infinity if none is used."""
        return min((one.at + one.pause for one in self.looked.values()), default=float("inf"))


class SecretReader:
    """Reads what is due."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    async def look(
        self, cluster: Cluster, namespace: str, uses: Sequence[SecretUse], known: Known
    ) -> list[Problem]:
        """Read the Secrets that are due; return what is missing.

        Raises:
            ApiError: a Secret couldn't be read.
        """
        names = {use.secret for use in uses}
        for name in set(known.looked) - names:
            del known.looked[name]
        keys: dict[str, set[str]] = {}
        for use in uses:
            keys.setdefault(use.secret, set()).update(use.keys)
        for name in sorted(names):
            one = known.looked.setdefault(name, _Looked())
            if one.keys != keys[name] or self._clock() >= one.at + one.pause:
                await self._read(cluster, namespace, name, frozenset(keys[name]), one)
        return [problem for use in uses for problem in _missing(namespace, use, known)]

    async def _read(
        self, cluster: Cluster, namespace: str, name: str, keys: frozenset[str], one: _Looked
    ) -> None:
        one.is_forbidden = False
        try:
            secret = await cluster.get("Secret", namespace, name)
        except ApiError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            one.is_forbidden, secret = True, None
        one.at, one.keys, one.data = self._clock(), keys, None
        if secret is not None:
            data: Mapping[str, str] = secret.get("data") or {}
            one.data = {key: _digest(data[key]) for key in keys if key in data}
        if one.data is not None and set(one.data) == keys:
            one.pause = LOOK_SECONDS
        elif one.pause in {0.0, LOOK_SECONDS}:
            one.pause = FIRST_LOOK_AGAIN_SECONDS
        else:
            one.pause = min(2 * one.pause, LOOK_SECONDS / 2)


def digests(uses: Sequence[SecretUse], known: Known, deployments: Sequence[Manifest]) -> dict[str, str]:
    """Return a digest by `SecretUse.label`: of what is there now, else the last one that a Deployment names."""
    last: dict[str, str] = {}
    for item in deployments:
        annotations = item["spec"]["template"]["metadata"].get("annotations") or {}
        last |= parsed(annotations.get(SECRETS_ANNOTATION, ""))
    found: dict[str, str] = {}
    for use in uses:
        one = known.looked.get(use.secret)
        data = one.data if one else None
        if data is not None and set(use.keys) <= set(data):
            found[use.label] = _digest(json.dumps([data[key] for key in use.keys]))
        elif use.label in last:
            found[use.label] = last[use.label]
    return found


def parsed(annotation: str) -> dict[str, str]:
    """Return what an annotation of the pods says: digest by `SecretUse.label`."""
    pairs = (part.partition("=") for part in annotation.split(",") if "=" in part)
    return {label: digest for label, _, digest in pairs}


def _missing(namespace: str, use: SecretUse, known: Known) -> list[Problem]:
    data = known.looked[use.secret].data
    if known.looked[use.secret].is_forbidden:
        text = f"spec.{use.field}: the operator may not read Secret {use.secret} in namespace {namespace}"
        return [Problem("Forbidden", f"{text} (k8s/rbac/zone)")]
    if data is None:
        text = f"spec.{use.field}: there is no Secret {use.secret} in namespace {namespace}"
        return [Problem("SecretMissing", text)]
    absent = [key for key in use.keys if key not in data]
    if absent:
        text = f"spec.{use.field}: Secret {use.secret} has no key {', '.join(absent)}"
        return [Problem("SecretMissing", text)]
    return []


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
