"""Problems of a configuration, each as one line for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from types import UnionType
from typing import Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

ENV_PREFIX = "DIMSE_MESH_"
_WANTED = {
    "int_parsing": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "int_type": "a whole number is wanted",
    "float_parsing": "a number is wanted",
    "float_type": "a number is wanted",
    "bool_parsing": "true or false is wanted",
    "bool_type": "true or false is wanted",
    "string_type": "text is wanted",
    "tuple_type": "a list is wanted",
    "list_type": "a list is wanted",
    "frozen_set_type": "a list is wanted",
    "dict_type": "a mapping is wanted",
    "mapping_type": "a mapping is wanted",
}
"""What pydantic says in Python's words, in those of a YAML file."""
Location = tuple[int | str, ...]
"""Where a value stands: names of fields, keys, and numbers in lists."""
_KEY = "[key]"
"""Ends the location of a key of a mapping."""
_SECRET = ("token", "password", "secret", "nkey", "credentials")


class ConfigurationError(Exception):
    """A configuration that can't be used.

    Attributes:
        problems: one line each, ready to print.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def unknown_variables(model: type[BaseModel], environ: Mapping[str, str]) -> list[str]:
    """Return one line for each environment variable that would set a field of a section that there isn't.

    A name without `__` may be somebody else's: Kubernetes makes some for a Service called dimse-mesh.
    """
    lines = []
    known = sorted(_fields_at(model, ()))
    for variable in sorted(environ):
        section, nested, _ = variable.upper().removeprefix(ENV_PREFIX).partition("__")
        if variable.upper().startswith(ENV_PREFIX) and nested and section.lower() not in known:
            near = get_close_matches(section.lower(), known, n=1)
            hint = f"did you mean {ENV_PREFIX}{near[0].upper()}__...? " if near else ""
            lines.append(
                f"environment variable {variable}: no section {section.lower()!r}; {hint}there are: {', '.join(known)}"
            )
    return lines


def unknown_name(where: str, given: object, what: str, known: Iterable[object]) -> str:
    """Return the line for a setting that names what isn't there.

    Args:
        where: the setting.
        what: the settings that it can name.
        known: what is there.
    """
    names = list(dict.fromkeys(map(str, known)))
    near = get_close_matches(str(given), names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{where}: {given!r} is none of {what}; {hint}there are: {', '.join(names) or 'none'}"


def problems_of(
    error: ValidationError,
    source: str,
    model: type[BaseModel],
    environ: Mapping[str, str],
) -> list[str]:
    """Return one line per validation error: where it stands, what was given, what is allowed."""
    lines: list[str] = []
    tags = _union_tags(model)
    details = error.errors(include_url=False)
    needless = _needless([detail["loc"] for detail in details], tags)
    for number, detail in enumerate(details):
        if number in needless and detail["type"] != "extra_forbidden":
            continue
        if detail["type"] == "too_short" and any(
            _is_within(other["loc"], detail["loc"]) for other in details
        ):
            continue  # a list of nothing but mistakes isn't empty
        kind, location = detail["type"], _without_union_tags(detail["loc"], tags)
        if kind == "extra_forbidden" and location[-1:] != detail["loc"][-1:]:
            location = (*location, detail["loc"][-1])  # what was written looks like a tag
        path = _spell(location)
        where = _environment_name(location, environ) or source
        if kind == "extra_forbidden":
            known = sorted(_fields_at(model, location[:-1]))
            near = get_close_matches(str(location[-1]), known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            line = f"{where}: {path}: unknown field; {hint}allowed: {', '.join(known)}"
        elif kind == "missing":
            line = f"{where}: {path}: required, but not given{_meaning(model, location)}"
        else:
            message = str(detail["msg"]).removeprefix("Value error, ")
            if not location:  # several sections are compared: each problem names its own
                lines += [f"{where}: {problem}" for problem in message.splitlines()]
                continue
            given = (
                ""
                if kind == "value_error" and not _is_scalar(detail["input"])
                else _given(detail["input"], location)
            )
            if kind == "model_type":
                message = f"a mapping is wanted, with {', '.join(sorted(_fields_at(model, location)))}"
            elif kind == "path_not_file":
                message = "there is no such file; a relative path begins where the command is started"
            elif kind == "string_pattern_mismatch":
                pattern = detail["ctx"]["pattern"]
                message = f"text of another form is wanted ({pattern}){_meaning(model, location)}"
            elif kind in _WANTED:
                message = _WANTED[kind] + _meaning(model, location)
            line = f"{where}: {path}: {given}{_lower_first(message)}"
        lines.append(line.replace("\n", " "))
    return list(dict.fromkeys(lines))


def _is_within(inner: Location, outer: Location) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _needless(locations: Sequence[Location], tags: frozenset[str]) -> set[int]:
    """Return the numbers of errors where a member of a union refuses a value, and another one says more of it.

    Of those that say as much the first one is left.
    """
    places = [_without_union_tags(location, tags) for location in locations]
    above = {place[:end] for place in places for end in range(len(place))}
    told: set[Location] = set()
    needless: set[int] = set()
    for number, (location, place) in enumerate(zip(locations, places, strict=True)):
        if not location or location[-1] == _KEY or not _is_tag(location[-1], tags):
            continue
        if place in above or place in told:
            needless.add(number)
        told.add(place)
    return needless


def _is_tag(part: int | str, tags: frozenset[str]) -> bool:
    return isinstance(part, str) and ("[" in part or part in tags)


def _without_union_tags(location: Location, tags: frozenset[str]) -> Location:
    return tuple(part for part in location if not _is_tag(part, tags))


def _lower_first(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _spell(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "(whole file)"


def _given(value: object, location: Location) -> str:
    if any(word in str(part).lower() for part in location for word in _SECRET):
        return "given a secret: "
    if isinstance(value, Mapping):
        return "given a mapping: "
    if isinstance(value, (list, tuple)):
        return f"given a list of {len(value)}: "
    text = without_password(repr(value.value if isinstance(value, Enum) else value))
    return f"given {text if len(text) <= 80 else text[:77] + '...'}: "


def without_password(text: str) -> str:
    """Return `text` with the user information and the query of every URL in it masked.

    A password may hold `@`, `/` or `?`, so everything between the scheme and the last `@` of a word is masked.
    """
    text = re.sub(r"://\S*@", "://***@", text)
    return re.sub(r"(://[^\s?#]*[?#])[^\s'\"]+", r"\1***", text)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, (str, int, float, bool, Enum))


def _environment_name(location: Location, environ: Mapping[str, str]) -> str | None:
    """Name the environment variable that a value came from, if it did."""
    upper = {name.upper(): name for name in environ}
    for end in range(len(location), 0, -1):
        name = ENV_PREFIX + "__".join(str(part) for part in location[:end]).upper()
        if end == len(location):
            below = (given for given in upper if given.startswith(f"{name}__"))
            name = name if name in upper else next(below, name)
        if name in upper:
            return f"environment variable {upper[name]}"
    return None


def _meaning(model: type[BaseModel], location: Location) -> str:
    """Return what the field at `location` is for, to be put behind what is said of it; empty: it isn't known."""
    _, field = _place(model, location)
    return "" if field is None or field.description is None else f": {field.description}"


def _fields_at(model: type[BaseModel], location: Location) -> set[str]:
    """Return the names of the fields of the section that `location` leads to."""
    section, _ = _place(model, location)
    if section is None:
        return set()
    return {field.alias or name for name, field in section.model_fields.items()}


def _place(model: type[BaseModel], location: Location) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """Return the section that `location` leads to, and the last field on the way; None: there is none."""
    section: type[BaseModel] | None = model
    field: FieldInfo | None = None
    is_key = False
    for part in location:
        if isinstance(part, int):
            continue
        if is_key:
            is_key = False
            continue
        field = None if section is None else section.model_fields.get(part)
        if field is None:
            return None, None
        section, is_key = _model_in(field.annotation), _holds_mapping(field.annotation)
    return section, field


def _holds_mapping(annotation: object) -> bool:
    """Tell whether a field is a mapping with keys of its own, or a list of such."""
    return get_origin(annotation) in (dict, Mapping) or any(map(_holds_mapping, get_args(annotation)))


def _union_tags(model: type[BaseModel]) -> frozenset[str]:
    """Return the names by which pydantic tells the members of unions apart, but for those that have brackets."""
    tags = {"str", "int", "float"}
    seen: set[object] = set()
    left: list[object] = [model]
    while left:
        found = left.pop()
        if isinstance(found, type) and issubclass(found, BaseModel):
            if found not in seen:
                seen.add(found)
                left += [field.annotation for field in found.model_fields.values()]
            continue
        members = [member for member in get_args(found) if member is not type(None)]
        left += members
        if get_origin(found) in (Union, UnionType) and len(members) > 1:
            tags |= {member.__name__ for member in members if isinstance(member, type)}
    return frozenset(tags)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
