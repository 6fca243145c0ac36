"""Rules of apiextensions.k8s.io/v1 for schemas, and validation of a resource as the API server does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import jsonschema
import re2

# https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
_KNOWN = {
    "type",
    "format",
    "description",
    "default",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "items",
    "properties",
    "required",
    "additionalProperties",
    "nullable",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
}
_TYPES = {"object", "array", "string", "integer", "number", "boolean"}


def structural_errors(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield each way in which `schema` is not structural."""
    if unknown := set(schema) - _KNOWN:
        yield f"{path}: {sorted(unknown)} not allowed in a structural schema"
    kind = schema.get("type")
    if kind not in _TYPES and not (kind is None and schema.get("x-kubernetes-preserve-unknown-fields")):
        yield f"{path}: type {kind!r}"
    if kind == "array" and "items" not in schema:
        yield f"{path}: an array without items"
    if kind != "object" and {"properties", "required", "additionalProperties"} & set(schema):
        yield f"{path}: properties of something that is no object"
    if "properties" in schema and "additionalProperties" in schema:
        yield f"{path}: properties and additionalProperties exclude each other"
    if missing := set(schema.get("required", ())) - set(schema.get("properties", {})):
        yield f"{path}: requires {sorted(missing)}, which it does not describe"
    if "pattern" in schema:
        re2.compile(schema["pattern"])  # type: ignore[no-untyped-call]  # the API server's dialect
    if "default" in schema:
        for error in jsonschema.Draft7Validator(dict(schema)).iter_errors(schema["default"]):
            yield f"{path}: default: {error.message}"
    if schema.get("x-kubernetes-list-type") == "map":
        items = schema["items"]
        for key in schema["x-kubernetes-list-map-keys"]:
            if key not in items["required"]:
                yield f"{path}: list map key {key} is not required"
    for name, below in schema.get("properties", {}).items():
        yield from structural_errors(below, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from structural_errors(schema[name], f"{path}.{name}")


def with_defaults(schema: Mapping[str, Any], value: Any) -> Any:
    """Return `value` with the schema's defaults filled in, as stored by the API server."""
    if isinstance(value, dict):
        result = deepcopy(value)
        for name, below in schema.get("properties", {}).items():
            if name not in result and "default" in below:
                result[name] = deepcopy(below["default"])
            if name in result:
                result[name] = with_defaults(below, result[name])
        return result
    if isinstance(value, list) and "items" in schema:
        return [with_defaults(schema["items"], item) for item in value]
    return value


def resource_errors(schema: Mapping[str, Any], value: Any, path: str = "") -> Iterator[str]:
    """Yield what the API server refuses about `value`, unknown fields included (`--validate=strict`)."""
    yield from (error.message for error in jsonschema.Draft7Validator(dict(schema)).iter_errors(value))
    yield from _unknown_fields(schema, value, path)


def _unknown_fields(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict) and "properties" in schema:
        for name, below in value.items():
            if name not in schema["properties"]:
                yield f"{path}.{name}: unknown field"
            elif (path, name) != ("", "metadata"):
                yield from _unknown_fields(schema["properties"][name], below, f"{path}.{name}")
    if isinstance(value, list) and "items" in schema:
        for item in value:
            yield from _unknown_fields(schema["items"], item, f"{path}[]")
