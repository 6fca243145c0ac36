"""The actions of PS3.15 table E.1-1, as options leave them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files

from dimse_mesh.runtime.settings_hooks import ProfileOption

EDITION = "2026c"


class ProfileAction(StrEnum):
    """What is done with an attribute (PS3.15 table E.1-1a)."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    REPLACE_UIDS = "U"
    """Of a UID: another one. Of a sequence (X/Z/U*): it stays, with other UIDs."""
    KEEP = "K"
    CLEAN = "C"
    """By an option: dates are shifted, descriptors kept where they are known to be safe, content items chosen."""


_COMPOUND = {
    "X/Z": ProfileAction.EMPTY,
    "X/D": ProfileAction.DUMMY,
    "Z/D": ProfileAction.DUMMY,
    "X/Z/D": ProfileAction.DUMMY,
    "X/Z/U*": ProfileAction.REPLACE_UIDS,
}
"""What may be removed, emptied or replaced, as its IOD has it, is what every IOD allows."""


@dataclass(frozen=True, slots=True)
class ProfileRule:
    """One row.

    Attributes:
        basic: without an option; what follows, too, where an option can't clean a value.
        action: with the options.
        cleaned_by: the option whose `CLEAN` it is.
    """

    basic: ProfileAction
    action: ProfileAction
    cleaned_by: frozenset[ProfileOption] = frozenset()


class ActionTable:
    """The table under some options."""

    def __init__(self, options: Iterable[ProfileOption]) -> None:
        chosen = frozenset(options)
        self._exact: dict[int, ProfileRule] = {}
        self._repeating: dict[tuple[int, str], ProfileRule] = {}
        for tag, basic, *columns in _rows("profile.tsv"):
            rule = _rule(basic, columns[0] if columns else "", chosen)
            if "x" in tag:
                self._repeating[int(tag[:2], 16), tag[4:]] = rule
            else:
                self._exact[int(tag, 16)] = rule

    def get(self, tag: int) -> ProfileRule | None:
        """Return the rule for an attribute of the standard; None: there is none, so it stays."""
        found = self._exact.get(tag)
        if found is None:
            block, element = tag >> 24, f"{tag & 0xFFFF:04X}"
            found = self._repeating.get((block, element)) or self._repeating.get((block, "xxxx"))
        return found


def safe_private() -> frozenset[tuple[int, str, int]]:
    """Return the private elements that are known to be safe (PS3.15 table E.3.10-1): group, creator, element."""
    return frozenset(
        (int(group, 16), creator, int(element, 16)) for group, creator, element in _rows("safe_private.tsv")
    )


def _rows(name: str) -> Iterable[list[str]]:
    text = files(__package__).joinpath(name).read_text()
    return (line.split("\t") for line in text.splitlines() if not line.startswith("#"))


def _rule(basic: str, column: str, chosen: frozenset[ProfileOption]) -> ProfileRule:
    plain = _COMPOUND.get(basic) or ProfileAction(basic)
    by_option = dict(entry.split("=") for entry in column.split())
    actions = {ProfileOption(name): action for name, action in by_option.items() if name in chosen}
    cleaning = frozenset(option for option, action in actions.items() if action == ProfileAction.CLEAN)
    if cleaning:  # of two options the careful one
        return ProfileRule(plain, ProfileAction.CLEAN, cleaning)
    return ProfileRule(plain, ProfileAction.KEEP if actions else plain)
