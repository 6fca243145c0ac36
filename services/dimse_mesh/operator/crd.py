"""The CustomResourceDefinition, generated from the models: structural, with defaults and validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dimse_mesh.operator.fields import RULES
from dimse_mesh.operator.names import Component, Manifest
from dimse_mesh.operator.resource import GROUP, KIND, PLURAL, VERSION, DimseProxySpec
from dimse_mesh.operator.sections import section_schema
from dimse_mesh.runtime.settings import ZoneSettings

_NAME_RULE = {
    "rule": "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    "message": "metadata.name: the listener's Service gets this name: letters a-z, digits, '-', a letter first",
}

_KEEP = (
    "type",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    RULES,
)

_COLUMNS = [
    ("AE", "string", ".spec.applicationEntityTitle", 0),
    ("Zone", "string", ".spec.natsSubjectChannel", 0),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', 0),
    ("NATS", "string", '.status.conditions[?(@.type=="NatsConnected")].status', 0),
    ("Target", "string", '.status.conditions[?(@.type=="TargetReachable")].status', 0),
    ("Associations", "integer", ".status.associations", 0),
    ("Queue", "integer", ".status.queued", 0),
    ("Delivering", "string", '.status.conditions[?(@.type=="Delivering")].status', 1),
    ("Message", "string", ".status.message", 1),
    ("Age", "date", ".metadata.creationTimestamp", 0),
]


def custom_resource_definition() -> Manifest:
    """Return the CustomResourceDefinition of DimseProxy."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{PLURAL}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "dimse-mesh", "app.kubernetes.io/part-of": "dimse-mesh"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["dimse"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": name, "type": kind, "jsonPath": path, "priority": priority}
                        for name, kind, path, priority in _COLUMNS
                    ],
                    "schema": {"openAPIV3Schema": _root()},
                }
            ],
        },
    }


def _root() -> Manifest:
    return {
        "type": "object",
        "description": "A zone of the DIMSE mesh: a DICOM listener, a target, and the way to NATS.",
        "required": ["spec"],
        RULES: [_NAME_RULE],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec_schema(),
            "status": _status_schema(),
        },
    }


def spec_schema() -> Manifest:
    """Return the structural schema of `spec`."""
    document = DimseProxySpec.model_json_schema(by_alias=True, mode="validation")
    schema = structural(document)
    # The settings of a zone's file, by their own schema: an unknown one is refused at the door. What they leave out
    # must not be filled in, since they win over the other fields.
    settings = structural(ZoneSettings.model_json_schema(mode="validation"))
    description = schema["properties"]["settings"]["description"]
    schema["properties"]["settings"] = _bare(settings) | {"description": description}
    for name in ("spool", "delivery"):
        description = schema["properties"][name]["description"]
        section = section_schema(_bare(settings["properties"][name]))
        schema["properties"][name] = section | {"description": description}
    return schema


def _bare(schema: Manifest) -> Manifest:
    """Return a schema without defaults and required fields."""
    bare = {name: value for name, value in schema.items() if name not in {"default", "required"}}
    if "properties" in bare:
        bare["properties"] = {name: _bare(below) for name, below in bare["properties"].items()}
    if "items" in bare:
        bare["items"] = _bare(bare["items"])
    return bare


def structural(document: Mapping[str, Any]) -> Manifest:
    """Turn JSON Schema as pydantic writes it into what apiextensions/v1 calls structural.

    References are written out, `X or null` becomes X that may be left out, and nothing but the keywords
    that the API server takes remains.
    """
    return _structural(document, document.get("$defs", {}))


def _structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Manifest:
    description = node.get("description")
    default = node.get("default")
    while "$ref" in node or "anyOf" in node:
        if "$ref" in node:
            node = definitions[node["$ref"].rpartition("/")[2]]
        else:
            options = [option for option in node["anyOf"] if option.get("type") != "null"]
            if len(options) > 1:  # a structural schema has one type or none
                anything = {"x-kubernetes-preserve-unknown-fields": True}
                return anything | ({"description": description} if description else {})
            (node,) = options
    schema: Manifest = {name: node[name] for name in _KEEP if name in node}
    if text := description or node.get("description"):
        schema["description"] = text
    if default is not None:
        schema["default"] = default
    if schema["type"] == "array":
        schema["items"] = _structural(node["items"], definitions)
        if any(option.get("type") == "null" for option in node["items"].get("anyOf", ())):
            schema["items"]["nullable"] = True
    elif schema["type"] == "object" and "properties" in node:
        schema["properties"] = {
            name: _structural(below, definitions) for name, below in node["properties"].items()
        }
        if "required" in node:
            schema["required"] = list(node["required"])
    elif schema["type"] == "object":
        values = node.get("additionalProperties")
        if isinstance(values, Mapping):
            schema["additionalProperties"] = _structural(values, definitions)
        else:
            schema["x-kubernetes-preserve-unknown-fields"] = True
    return schema


def _status_schema() -> Manifest:
    text = {"type": "string"}
    count = {"type": "integer"}
    return {
        "type": "object",
        "description": "What the operator saw.",
        "properties": {
            "observedGeneration": {"type": "integer", "format": "int64"},
            "ready": {
                "type": "boolean",
                "description": "All services are ready (as the original product says it).",
            },
            "phase": {"type": "string", "description": "Ready, Progressing, Degraded or Invalid."},
            "message": {"type": "string", "description": "One line: what is wrong, or that nothing is."},
            "associations": {"type": "integer", "description": "Open associations at the listeners."},
            "queued": {"type": "integer", "description": "Objects of durable routes that wait."},
            "queues": {
                "type": "array",
                "description": "The queues of durable routes: objects that wait for each destination.",
                "items": {
                    "type": "object",
                    "properties": {"source": text, "destination": text, "objects": count},
                },
            },
            "services": {
                "type": "object",
                "description": "Pods of each service.",
                "properties": {
                    component.value: {
                        "type": "object",
                        "properties": dict.fromkeys(("desired", "ready", "updated", "available"), count),
                    }
                    for component in Component
                },
            },
            "secondaryResources": {
                "type": "object",
                "description": "Names of the objects made for this resource, by kind.",
                "additionalProperties": {"type": "array", "items": text},
            },
            "conditions": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {
                    "type": "object",
                    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
                    "properties": {
                        "type": text,
                        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                        "reason": text,
                        "message": text,
                        "observedGeneration": {"type": "integer", "format": "int64"},
                        "lastTransitionTime": {"type": "string", "format": "date-time"},
                    },
                },
            },
        },
    }
