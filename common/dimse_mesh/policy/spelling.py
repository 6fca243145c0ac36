"""AE titles that are none, and those that look like one that the configuration names.

A title has up to 16 characters of the default repertoire, but no backslash and no control character, and isn't only
spaces (PS3.5 §6.2), and its case counts. So `reader` isn't `READER`, and a route for `READER` that allows little
doesn't match it. It must not get what a wider route or rule allows, since a target may take one for the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

_WILDCARDS = frozenset("*?[")


class NamedBy(NamedTuple):
    """A pattern of the configuration.

    Attributes:
        setting: where it stands, as the configuration spells it.
    """

    pattern: str
    setting: str


def is_ae_title(title: str) -> bool:
    """Tell whether a title, without its padding, is one that PS3.5 allows."""
    return 0 < len(title) <= 16 and title.isascii() and title.isprintable() and "\\" not in title


class NamedTitles:
    """The AE titles that patterns name, in full or by wildcards.

    Args:
        patterns: of the configuration, the ones that decide first in front.
    """

    __slots__ = ("_in_full", "_spellings", "_wild")

    def __init__(self, patterns: Iterable[NamedBy]) -> None:
        self._spellings: dict[str, list[NamedBy]] = {}
        for named in patterns:
            self._spellings.setdefault(named.pattern.casefold(), []).append(named)
        self._in_full = {folded for folded in self._spellings if _WILDCARDS.isdisjoint(folded)}
        self._wild = tuple(
            folded for folded in self._spellings if folded not in self._in_full and folded != "*"
        )

    def resembled_by(self, title: str) -> NamedBy | None:
        """Return the pattern from which this title differs by its case alone; None: there is none.

        A title isn't told from one that is named in both spellings.
        """
        folded = title.casefold()
        alike = [folded] if folded in self._in_full else []
        alike += [pattern for pattern in self._wild if fnmatchcase(folded, pattern)]
        for pattern in alike:
            spellings = self._spellings[pattern]
            if not any(fnmatchcase(title, named.pattern) for named in spellings):
                return spellings[0]
        return None
