"""YAML files as people write them: a key that stands there twice is a mistake, and 0012 isn't the number ten.

What is a number, a date, or true or false by YAML 1.1 alone, which PyYAML reads, is text: 0012, 1_000, 12:30, NO,
2024-01-31. People mean identifiers, times and values of DICOM by them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer, ComposerError

from dimse_mesh.runtime.settings_errors import ConfigurationError

MAX_FILE_BYTES = 1 << 20
_HOLDS = {type(None): "is empty", list: "holds a list"}
_MERGE = "tag:yaml.org,2002:merge"
_OURS = {
    "tag:yaml.org,2002:bool": re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"),
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?(?:(?:0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"
        r"|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
    ),
    "tag:yaml.org,2002:timestamp": None,
}
"""What a value of a type looks like, by tag, where it isn't as PyYAML has it; None: there is none."""


class _UniqueKeys(Composer):
    """Refuses a key that stands in its mapping already: the last one would win, and nobody know."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            if key.value in seen:
                raise ComposerError(None, None, f"{key.value} stands here twice", key.start_mark)
            seen.add(key.value)
        return node


class _Values(_UniqueKeys, yaml.SafeLoader):
    """Values of YAML's types."""


class _Texts(_UniqueKeys, yaml.BaseLoader):
    """All values are text."""


_Values.yaml_implicit_resolvers = {
    first: [(tag, ours) for tag, pattern in resolvers if (ours := _OURS.get(tag, pattern)) is not None]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path, *, as_text: bool = False) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Args:
        as_text: every value is what stands there: 1.10 has its zero.

    Raises:
        ConfigurationError: it can't be read, is no YAML, or is no mapping.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise ConfigurationError([f"{path}: larger than {MAX_FILE_BYTES} bytes: not a configuration"])
        data = yaml.load(raw, _Texts) if as_text else yaml.load(raw, _Values)
    except OSError as error:
        raise ConfigurationError([f"{path}: can't be read: {error.strerror}"]) from error
    except RecursionError:
        raise ConfigurationError([f"{path}: its lists and mappings lie too deep"]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError([f"{path}: {why_no_yaml(error)}"]) from error
    if not isinstance(data, dict):
        holds = _HOLDS.get(type(data), "holds one value")
        raise ConfigurationError([f"{path}: the file {holds}; fields are wanted (NAME: VALUE)"])
    return data


def why_no_yaml(error: Exception) -> str:
    """Return what is wrong with a text of which the YAML parser says this error."""
    mark = getattr(error, "problem_mark", None)
    where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    what = getattr(error, "problem", None) or "not UTF-8 text"
    return f"not YAML{where}: {what}"
