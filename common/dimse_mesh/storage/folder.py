"""A folder as a place: an object appears under its name when it is on disk, or never.

An object is written to a file in `.incoming`, flushed to disk (fsync), and linked to its name: a link never
replaces what is there. Every call of the file system runs in a thread, since a disk or a file server may hang.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import anyio
from anyio import to_thread

from dimse_mesh.storage.place import NameTaken, PlaceError, Trouble

INCOMING: Final = ".incoming"
STALE_SECONDS: Final = 24 * 3600.0
"""Age at which an unfinished file counts as left behind by a process that was killed."""
BUFFER: Final = 1 << 20
"""Bytes that are collected before they are written."""
READ_SIZE: Final = 1 << 20

_T = TypeVar("_T")

_TROUBLES: Final = {
    errno.ENOSPC: Trouble.FULL,
    errno.EDQUOT: Trouble.FULL,
    errno.EACCES: Trouble.DENIED,
    errno.EPERM: Trouble.DENIED,
    errno.EROFS: Trouble.DENIED,
    errno.ENOENT: Trouble.MISSING,
    errno.ENOTDIR: Trouble.MISSING,
    errno.ESTALE: Trouble.UNREACHABLE,
    errno.ETIMEDOUT: Trouble.UNREACHABLE,
}
_NO_LINKS: Final = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK))


def _trouble(error: OSError) -> PlaceError:
    """Translate an error; its text stays, the file's name doesn't."""
    number = error.errno or 0
    return PlaceError(_TROUBLES.get(number, Trouble.FAILED), os.strerror(number) if number else "")


class _Threads:
    """Runs calls of the file system in threads, each at most `timeout` seconds."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    async def run(self, call: Callable[[], _T]) -> _T:
        """Return what a call returns.

        Raises:
            PlaceError: it fails, or takes too long; then it goes on in its thread.
        """
        try:
            with anyio.fail_after(self._timeout):
                return await to_thread.run_sync(call, abandon_on_cancel=True)
        except TimeoutError:
            raise PlaceError(Trouble.TIMED_OUT, f"no answer within {self._timeout:g} s") from None
        except OSError as error:
            raise _trouble(error) from error


class Folder:
    """A folder. Its parent must exist: a file system that isn't mounted is not to be filled by mistake.

    Args:
        timeout: seconds for each call of the file system.
    """

    def __init__(self, root: Path, *, timeout: float) -> None:
        self._root = root
        self._threads = _Threads(timeout)
        self._looked = False

    async def check(self) -> None:
        """Find out whether something can be written."""
        writing = self.write("check", staged=False)
        try:
            await writing.write(b"check")
            await writing.flush()
        finally:
            await writing.discard()

    async def has(self, name: str) -> bool:
        """Tell whether there is an object of that name."""
        return await self._threads.run(lambda: os.path.lexists(self._root / name))

    def write(self, name: str, *, staged: bool) -> FileWriting:  # noqa: ARG002 - files are named when they are whole
        """Begin an object."""
        looked, self._looked = self._looked, True
        return FileWriting(self._root, self._threads, sweep=not looked)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        """Yield an object's bytes."""
        path = self._root / name
        file = await self._threads.run(lambda: path.open("rb", buffering=0))
        try:
            while piece := await self._threads.run(lambda: file.read(READ_SIZE)):
                yield piece
        finally:
            with suppress(OSError):
                file.close()


class FileWriting:
    """A file that is being written.

    Its thread may still be busy when we have given up: what is done after that waits for it.
    """

    def __init__(self, root: Path, threads: _Threads, *, sweep: bool) -> None:
        self._root = root
        self._path = root / INCOMING / f"{secrets.token_hex(16)}.part"
        self._threads = threads
        self._sweep = sweep
        self._lock = threading.Lock()
        self._descriptor = -1
        self._waiting = bytearray()
        self._size = 0

    async def write(self, piece: bytes | memoryview) -> None:
        """Append to it."""
        self._waiting += piece
        if len(self._waiting) >= BUFFER:
            await self.flush()

    async def flush(self) -> None:
        """Hand what was collected to the file system."""
        data, self._waiting = self._waiting, bytearray()
        await self._threads.run(lambda: self._append(data))

    async def commit(self, name: str) -> None:
        """Flush it to disk and link it to its name."""
        await self.flush()
        await self._threads.run(lambda: self._publish(self._root / name))

    async def discard(self) -> None:
        """Remove it."""
        with suppress(PlaceError):
            await self._threads.run(self._remove)

    def abandon(self) -> None:
        """Remove it soon."""
        threading.Thread(target=self._remove, daemon=True).start()

    def _append(self, data: bytearray) -> None:
        with self._lock:
            if self._descriptor < 0:
                self._create()
            view = memoryview(data)
            while view:
                written = os.write(self._descriptor, view)
                self._size += written
                view = view[written:]

    def _create(self) -> None:
        self._root.mkdir(exist_ok=True)
        self._path.parent.mkdir(exist_ok=True)
        if self._sweep:
            _sweep(self._path.parent)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)

    def _publish(self, path: Path) -> None:
        with self._lock:
            os.fsync(self._descriptor)
            size = os.fstat(self._descriptor).st_size
            if size != self._size:
                raise PlaceError(Trouble.INCOMPLETE, f"{size} of {self._size} bytes are there")
            folders = _make_folders(self._root, path.parent)
            _claim(self._path, path)
            for folder in folders:
                _sync(folder)
            self._close()

    def _remove(self) -> None:
        with self._lock, suppress(OSError):
            self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._path.unlink(missing_ok=True)


def _make_folders(root: Path, folder: Path) -> list[Path]:
    """Make the folders of an object; return those whose entries have to be flushed to disk, innermost first."""
    to_sync = [folder]
    missing: list[Path] = []
    while folder != root and not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
        to_sync.append(folder)
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
    return to_sync


def _claim(written: Path, path: Path) -> None:
    """Give a file another name, unless that is taken.

    Raises:
        NameTaken: it is taken.
        OSError: it can't be given.
    """
    try:
        try:
            os.link(written, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # A file system without hard links: take the name first, then replace what took it.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            written.replace(path)
    except FileExistsError as error:
        raise NameTaken from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(incoming: Path) -> None:
    """Remove what killed processes have left."""
    oldest = time.time() - STALE_SECONDS
    with suppress(OSError):
        for entry in os.scandir(incoming):
            with suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < oldest:
                    Path(entry.path).unlink()
