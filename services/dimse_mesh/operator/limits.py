"""What whoever may change a DimseProxy may choose in it: the operator's own settings say so.

An editor of the resource names images, Secrets, annotations and volumes, and the operator makes pods of them with its
own rights. So whoever runs the operator limits these, where editors may do less than the operator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from pydantic.alias_generators import to_camel

from dimse_mesh.operator.resource import DimseProxySpec
from dimse_mesh.operator.workload import Placement, Services
from dimse_mesh.operator.zone import all_secret_uses

ANY: Final = ("*",)
TOKENS: Final = "serviceAccountToken"
"""Names, beside the kinds of volumes, the tokens that a projected volume may hold."""
SAFE_VOLUMES: Final = (
    "configMap",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
)
"""Those that reach neither the node nor another machine by themselves."""


@dataclass(frozen=True, slots=True)
class EditorLimits:
    """Patterns (* ? [...]) of what a resource may name.

    Attributes:
        images: of the services, beside the operator's own, which is always allowed.
        secrets: for NATS, TLS and the registry, and in volumes.
        annotations: keys of annotations, of pods and of the Service.
        volumes: kinds of `extraVolumes`, as Kubernetes spells them, and `serviceAccountToken`.
    """

    images: Sequence[str] = ANY
    secrets: Sequence[str] = ANY
    annotations: Sequence[str] = ANY
    volumes: Sequence[str] = SAFE_VOLUMES


DEFAULT_LIMITS: Final = EditorLimits()


def exceeded(spec: DimseProxySpec, limits: EditorLimits, *, default_image: str) -> list[str]:
    """Return one line for each choice in `spec` that is not allowed, beginning with the field's path.

    Args:
        default_image: the operator's own.
    """
    return [
        f"spec.{field}: the operator's settings don't allow {text}"
        for field, text in [
            *_images(spec, (*limits.images, default_image)),
            *_secrets(spec, limits),
            *_annotations(spec, limits),
            *_volumes(spec, limits),
        ]
    ]


def _images(spec: DimseProxySpec, allowed: Sequence[str]) -> Iterator[tuple[str, str]]:
    image = spec.proxy.image
    if image is not None and not _matches(image, allowed):
        yield "proxy.image", f"the image {image}"


def _secrets(spec: DimseProxySpec, limits: EditorLimits) -> Iterator[tuple[str, str]]:
    named = [(use.field, use.secret) for use in all_secret_uses(spec)]
    named += [(f"imagePullSecrets[{index}]", one.name) for index, one in enumerate(spec.image_pull_secrets)]
    for field, service in _services(spec):
        for index, volume in enumerate(service.extra_volumes):
            named += [(f"{field}.extraVolumes[{index}]", name) for name in _secrets_in(volume)]
    for field, name in named:
        if not _matches(name, limits.secrets):
            yield field, f"the Secret {name}"


def _annotations(spec: DimseProxySpec, limits: EditorLimits) -> Iterator[tuple[str, str]]:
    keys = [("exposure.annotations", key) for key in spec.exposure.annotations]
    for field, service in _services(spec):
        keys += [(f"{field}.podAnnotations", key) for key in service.pod_annotations]
    for field, key in keys:
        if not _matches(key, limits.annotations):
            yield field, f"the annotation {key}"


def _volumes(spec: DimseProxySpec, limits: EditorLimits) -> Iterator[tuple[str, str]]:
    for field, service in _services(spec):
        for index, volume in enumerate(service.extra_volumes):
            kinds = [kind for kind in volume if kind != "name"]
            kinds += [TOKENS for source in _sources(volume) if TOKENS in source]
            for kind in kinds:
                if not _matches(kind, limits.volumes):
                    yield f"{field}.extraVolumes[{index}]", f"a volume with {kind}"


def _services(spec: DimseProxySpec) -> Iterator[tuple[str, Placement]]:
    for name in Services.model_fields:
        yield f"services.{to_camel(name)}", getattr(spec.services, name)


def _sources(volume: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    projected = volume.get("projected")
    sources = projected.get("sources") if isinstance(projected, Mapping) else None
    return [one for one in sources if isinstance(one, Mapping)] if isinstance(sources, list) else []


def _secrets_in(node: Any) -> Iterator[str]:
    """Yield the names of Secrets anywhere in a volume: `secretName`, and `name` below `secret` and `...SecretRef`."""
    if isinstance(node, list):
        for item in node:
            yield from _secrets_in(item)
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        if key == "secretName" and isinstance(value, str):
            yield value
        elif isinstance(value, Mapping) and (key == "secret" or key.lower().endswith("secretref")):
            name = value.get("name", value.get("secretName"))
            if isinstance(name, str):
                yield name
        else:
            yield from _secrets_in(value)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
