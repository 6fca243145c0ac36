"""A trail: a folder of hash-chained files, which the processes of a zone on one machine write together.

    000000000000000001.audit    a file, named for its first record; the newest is written to
    extent                      what the trail holds: so it shows when its end was cut off
    lock                        held by whoever writes
    forwarded                   how far the repository has got the trail

Whoever writes takes the lock, reads the end of the newest file, appends, and waits until the disk has it. So a process
may be killed at any moment: at most the line that it was writing is missing, and the next writer cuts off what is left
of it. Where whole records are missing at the end, the next writer goes on behind them, so that the gap shows for ever.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from dimse_mesh.audit.chain import (
    ChainLink,
    NotAnEntry,
    TrailEntry,
    entry_line,
    header_line,
    next_link,
    parse_entry,
    parse_header,
)
from dimse_mesh.audit.extent import TrailExtent, UnknownExtent, read_extent, write_extent

log = logging.getLogger(__name__)

SUFFIX: Final = ".audit"
FILES: Final = 16
"""Into how many files the room of a trail is divided: the oldest is removed when all of it is full."""
LEAST_FILE: Final = 64 * 1024
_TAIL: Final = 256 * 1024
"""Bytes at the end of a file that hold its last line for certain."""
_FORWARDED: Final = "forwarded"


class TrailError(OSError):
    """The trail can't be used."""


class TrailPlace(NamedTuple):
    """A place in a trail: behind a record.

    Attributes:
        number: of that record.
        first: number of the first record of its file.
        offset: bytes into that file.
    """

    number: int = 0
    first: int = 0
    offset: int = 0


class Appended(NamedTuple):
    """What was written.

    Attributes:
        link: of the last record.
        unforwarded: records that were removed to make room, though the repository may not have got them.
    """

    link: ChainLink
    unforwarded: int


class AuditTrail:
    """The files in a folder.

    Args:
        directory: made if it is missing, for its owner alone.
        max_bytes: of all files together.
        key: of the hash chain; empty: none.
        is_forwarded: whether a repository gets the records.

    Raises (from the constructor):
        TrailError: the folder can't be made.
    """

    def __init__(self, directory: Path, *, max_bytes: int, key: bytes = b"", is_forwarded: bool) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._file_bytes = max(max_bytes // FILES, LEAST_FILE)
        self._key = key
        self._is_forwarded = is_forwarded
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise TrailError(error.errno, f"{directory}: can't be made: {error.strerror}") from error

    def append(self, messages: Sequence[Callable[[int], bytes]]) -> Appended:
        """Write records, and wait until the disk has them.

        Args:
            messages: each makes the message of a record from its number.

        Raises:
            TrailError: they can't be written; none of them was, or only the first ones.
        """
        try:
            with self._locked("lock"):
                link, newest = self._end()
                before = self._extent(link, newest)
                if before.last.number > link.number:
                    log.error(
                        "audit records %d to %d are missing in %s; new ones follow behind them",
                        link.number + 1,
                        before.last.number,
                        self._directory,
                    )
                    link, newest = before.last, None
                if newest is None or newest.stat().st_size >= self._file_bytes:
                    newest = self._begin(link)
                link = self._write(newest, link, messages)
                return Appended(link, self._make_room(before.first, link))
        except TrailError:
            raise
        except OSError as error:
            raise TrailError(error.errno, f"{self._directory}: {error.strerror or error}") from error

    @contextmanager
    def forwarding(self) -> Iterator[bool]:
        """Be the one process that forwards the trail, for the length of the block; False: another one is."""
        handle = os.open(self._directory / "forwarding", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)

    def files(self) -> list[Path]:
        """Return the files, the oldest first."""
        return sorted(self._directory.glob(f"*{SUFFIX}"))

    def forwarded(self) -> TrailPlace:
        """Return how far the repository has got the trail."""
        try:
            numbers = [int(word) for word in (self._directory / _FORWARDED).read_text("ascii").split()]
        except (FileNotFoundError, ValueError):
            return TrailPlace()
        place = TrailPlace(*numbers) if len(numbers) == 3 else TrailPlace()
        newest = next(iter(self.files()[::-1]), None)
        if newest is None or first_of(newest) < place.first:
            return TrailPlace()  # of a trail that was set aside
        return place

    def note_forwarded(self, place: TrailPlace) -> None:
        """Remember how far the repository has got the trail."""
        path = self._directory / _FORWARDED
        new = path.with_suffix(".new")
        new.write_text(" ".join(map(str, place)), "ascii")
        new.replace(path)

    def bytes_waiting(self) -> int:
        """Return how many bytes the repository has not got yet."""
        place = self.forwarded()
        waiting = 0
        for path in self.files():
            first = first_of(path)
            if first < place.first:
                continue
            with suppress(FileNotFoundError):  # removed meanwhile, to make room
                size = path.stat().st_size
                waiting += max(0, size - place.offset) if first == place.first else size
        return waiting

    @property
    def max_bytes(self) -> int:
        """Bytes that all files together may take."""
        return self._max_bytes

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        handle = os.open(self._directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _end(self) -> tuple[ChainLink, Path | None]:
        """Return where the chain stands, and the newest file; cut off a line that was not written to its end."""
        files = self.files()
        if not files:
            return ChainLink(), None
        newest = files[-1]
        with newest.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(0, size - _TAIL))
            tail = file.read()
            whole = tail.rfind(b"\n") + 1
            if whole < len(tail):
                file.truncate(start + whole)
            last = tail[tail.rfind(b"\n", 0, max(0, whole - 1)) + 1 : whole]
        try:
            if not last:  # not even the header was written: the file holds nothing
                newest.unlink()
                return self._end()
            return (parse_header(last) if last.startswith(b"#") else parse_entry(last).link), newest
        except NotAnEntry as error:
            raise TrailError(0, f"{newest}: {error}; set the folder aside, and a new chain begins") from error

    def _extent(self, link: ChainLink, newest: Path | None) -> TrailExtent:
        """Return what the trail held when it was last written to; where nothing says so, what it holds now."""
        try:
            return read_extent(self._directory, self._key)
        except UnknownExtent as unknown:
            why = str(unknown)
        if newest is not None:
            log.error("%s: %s; records may have been cut off", self._directory, why)
        files = self.files()
        return TrailExtent(first_of(files[0]) if files else link.number + 1, link)

    def _begin(self, after: ChainLink) -> Path:
        path = self._directory / f"{after.number + 1:018d}{SUFFIX}"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, header_line(after))
        finally:
            os.close(handle)
        folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return path

    def _write(self, path: Path, link: ChainLink, messages: Sequence[Callable[[int], bytes]]) -> ChainLink:
        lines = bytearray()
        for message_of in messages:
            message = message_of(link.number + 1)
            link = next_link(link, message, self._key)
            lines += entry_line(TrailEntry(link, message))
        with path.open("ab") as file:
            end = file.tell()
            try:
                file.write(lines)
                file.flush()
                os.fdatasync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), end)  # a full disk: all of them are tried again
                raise
        return link

    def _make_room(self, first: int, last: ChainLink) -> int:
        """Note what the trail holds, and remove the oldest files, if there is too much.

        Args:
            first: number of the oldest record that it held.
            last: its newest.

        Returns:
            How many of the removed records the repository may lack.
        """
        files = self.files()
        sizes = [path.stat().st_size for path in files]
        unforwarded = 0
        removed: list[Path] = []
        while len(files) > 1 and sum(sizes) > self._max_bytes:
            oldest = files.pop(0)
            del sizes[0]
            removed.append(oldest)
            if self._is_forwarded:
                until, since = first_of(files[0]) - 1, first_of(oldest)
                unforwarded += max(0, until - max(self.forwarded().number, since - 1))
        write_extent(self._directory, TrailExtent(first_of(files[0]) if removed else first, last), self._key)
        for path in removed:  # after that: what is removed must not look as if it was missing
            path.unlink(missing_ok=True)
        return unforwarded


class TrailReader:
    """Reads a trail while it is written.

    Args:
        place: where to begin.
    """

    def __init__(self, trail: AuditTrail, place: TrailPlace) -> None:
        self._trail = trail
        self.place = place

    def take(self, most: int) -> list[tuple[TrailPlace, bytes]]:
        """Return the next messages, with the place behind each; nothing: there are none yet.

        Raises:
            TrailError: a file can't be read, or holds something else.
        """
        files = [path for path in self._trail.files() if first_of(path) >= self.place.first]
        taken: list[tuple[TrailPlace, bytes]] = []
        for path in files:
            first = first_of(path)
            offset = self.place.offset if first == self.place.first else 0
            try:
                with path.open("rb") as file:
                    file.seek(offset)
                    for line in file:
                        if not line.endswith(b"\n"):
                            break
                        offset += len(line)
                        if not line.startswith(b"#"):
                            entry = parse_entry(line)
                            if entry.link.number > self.place.number:
                                taken.append((TrailPlace(entry.link.number, first, offset), entry.message))
                        if len(taken) >= most:
                            return taken
            except FileNotFoundError:
                continue  # it was the oldest, and there was no room
            except NotAnEntry as error:
                raise TrailError(0, f"{path}: {error}") from error
        return taken


def first_of(path: Path) -> int:
    """Return the number of a file's first record, by the file's name."""
    return int(path.stem) if path.stem.isdigit() else 0
