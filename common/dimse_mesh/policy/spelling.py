"""AE titles that are none, and those that look like one that the configuration names.

A title has up to 16 characters of the default repertoire, but no backslash and no control character (PS3.5 §6.2), and
its case counts. So `reader` isn't `READER`, and a route for `READER` that allows little doesn't match it. It must not
get what a wider route allows, since a target may take one for the other.
"""

from __future__ import annotations

from collections.abc import Iterable

_WILDCARDS = frozenset("*?[")


def is_ae_title(title: str) -> bool:
    """Tell whether a title, without its padding, has only characters that PS3.5 allows."""
    return title.isascii() and title.isprintable() and "\\" not in title


class NamedTitles:
    """The AE titles that patterns name in full.

    Args:
        patterns: of the configuration; those with wildcards name nobody.
    """

    __slots__ = ("_by_folded", "_titles")

    def __init__(self, patterns: Iterable[str]) -> None:
        self._titles = frozenset(pattern for pattern in patterns if _WILDCARDS.isdisjoint(pattern))
        self._by_folded = {title.casefold(): title for title in self._titles}

    def resembled_by(self, title: str) -> str | None:
        """Return the title that is named and differs from this one by its case alone; None: there is none."""
        return None if title in self._titles else self._by_folded.get(title.casefold())
