"""What is made of files, and made anew when one of them has changed: TLS contexts, a zone's keys."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Generic, TypeVar

from dimse_mesh.runtime.errors import StartError

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0
"""How often the files are looked at, at most, unless somebody misses something."""

MadeT = TypeVar("MadeT")


class Reloaded(Generic[MadeT]):
    """What is made of files; the last one that was good, while a file isn't.

    Args:
        make: makes it of the files.
        files: returns which they are now: those of a folder come and go.
        what: its name in the log.
        clock: seconds.

    Raises:
        StartError: it can't be made.
    """

    def __init__(
        self,
        make: Callable[[], MadeT],
        files: Callable[[], Iterable[Path]],
        *,
        what: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._files = files
        self._what = what
        self._clock = clock
        self._looked = clock()
        self._seen = self._look()
        self._made = make()

    def now(self) -> MadeT:
        """Return it, after a look at the files if the last one was a while ago."""
        return self.again() if self._clock() - self._looked >= LOOK_SECONDS else self._made

    def again(self) -> MadeT:
        """Look at the files, and return it."""
        self._looked = self._clock()
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._made = self._make()
            except StartError as error:
                log.warning("%s; what was read before is used on", error)
            else:
                log.info("%s: read anew: %s", self._what, ", ".join(map(str, seen)))
        return self._made

    def _look(self) -> dict[Path, tuple[int, int, int] | None]:
        found: dict[Path, tuple[int, int, int] | None] = {}
        for file in self._files():
            try:
                status = file.stat()
            except OSError:
                found[file] = None
            else:
                found[file] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return found
