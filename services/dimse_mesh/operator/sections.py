"""Sections of a zone's file in the custom resource: the same fields, in camelCase, with the same limits.

They are the models of the zone's settings themselves, so the two can't part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BeforeValidator
from pydantic.alias_generators import to_camel

Schema = dict[str, Any]


def _in_snake_case(value: Any) -> Any:
    return _renamed(value, lambda name: re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name))


def _renamed(value: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {rename(name): _renamed(below, rename) for name, below in value.items()}
    if isinstance(value, list):
        return [_renamed(below, rename) for below in value]
    return value


InCamelCase = BeforeValidator(_in_snake_case)
"""Annotation of a model of the zone's settings: its fields are written in camelCase."""


def section_schema(schema: Schema) -> Schema:
    """Return the schema of a section of the zone's file as the custom resource has it: names in camelCase."""
    section = dict(schema)
    if "properties" in section:
        section["properties"] = {
            to_camel(name): section_schema(below) for name, below in section["properties"].items()
        }
    if "required" in section:
        section["required"] = [to_camel(name) for name in section["required"]]
    if "items" in section:
        section["items"] = section_schema(section["items"])
    return section
