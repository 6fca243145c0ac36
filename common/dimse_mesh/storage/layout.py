"""Names of objects in a place, made of what their data sets say. What a data set says never becomes a path."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

ABSENT: Final = "none"
"""Stands for a value that is absent or empty."""
LONGEST_VALUE: Final = 128
_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


class Layout:
    """A template such as `{StudyInstanceUID}/{SOPInstanceUID}.dcm`, checked by the settings."""

    def __init__(self, template: str) -> None:
        self._template = template
        self.fields = frozenset(_FIELD.findall(template))

    def name(self, values: Mapping[str, str]) -> str:
        """Return the name of an object; `values` by field, absent ones left out."""
        return _FIELD.sub(lambda field: escaped(values.get(field[1], "")), self._template)


def escaped(value: str) -> str:
    """Return a value as it may stand within one part of a path.

    Letters, digits, `_`, `-` and dots stay, but for a dot in front; every other byte of its UTF-8 becomes `=XX`.
    """
    if not value:
        return ABSENT
    text = "".join(
        letter if letter in _PLAIN else "".join(f"={byte:02X}" for byte in letter.encode())
        for letter in value
    )
    if text.startswith("."):
        text = f"=2E{text[1:]}"
    if len(text) > LONGEST_VALUE:
        text = f"{text[:64]}={hashlib.sha256(value.encode()).hexdigest()[:32]}"
    return text


def version_name(name: str, digest: bytes) -> str:
    """Return the name of another content of an instance: `@` and its digest stand before the extension."""
    folder, slash, last = name.rpartition("/")
    stem, dot, extension = last.rpartition(".")
    if not dot:
        stem, extension = last, ""
    return f"{folder}{slash}{stem}@{digest.hex()[:32]}{dot}{extension}"
