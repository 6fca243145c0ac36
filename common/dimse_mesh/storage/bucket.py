"""A bucket of an S3 server as a place, through obstore (the Rust crate object_store).

An object of up to one part is put at once, and only if its name is free (`If-None-Match: *`). A larger one goes up in
parts and appears when the last part is in. The server checks the SHA-256 of each request, which the request is
signed with; afterwards we check that the object is there in its whole size.

The parts of an upload that was broken off stay invisible in the bucket until its lifecycle rules remove them.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakValueDictionary

import anyio
import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from dimse_mesh.runtime.settings_storage import StorageSettings
from dimse_mesh.storage.place import NameTaken, PlaceError, Trouble

if TYPE_CHECKING:
    from obstore import AsyncWritableFile, BytesStream

READ_SIZE: Final = 1 << 20
WRITE_SIZE: Final = 1 << 20
"""Bytes that are collected before they are handed to the library."""
CONCURRENT_PARTS: Final = 2
RETRIES: Final = 3

_T = TypeVar("_T")

_CODE: Final = re.compile(r"<Code>([A-Za-z]{3,40})</Code>")
_HTTP: Final = re.compile(r"\b([45]\d\d)\b (?:[A-Z][a-z]+)")
_FULL: Final = frozenset(
    ("XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "EntityTooLarge", "NoSpaceLeft", "DiskFull")
)

_DENIED: Final = frozenset(
    (
        "AccessDenied",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "XAdminUserNotFound",
    )
)


def _trouble(error: Exception) -> PlaceError:
    """Translate an error. Its text may name the object, so only the server's code is kept."""
    text = str(error)
    code = _CODE.search(text)
    http = _HTTP.search(text)
    said = code[1] if code else f"HTTP {http[1]}" if http else ""
    if said in _FULL or said == "HTTP 507":
        trouble = Trouble.FULL
    elif isinstance(error, PermissionDeniedError | UnauthenticatedError) or said in _DENIED:
        trouble = Trouble.DENIED
    elif isinstance(error, FileNotFoundError) or said == "NoSuchBucket":
        trouble = Trouble.MISSING
    elif "kind: Timeout" in text:
        trouble = Trouble.TIMED_OUT
    elif "kind: Connect" in text or "error sending request" in text:
        trouble = Trouble.UNREACHABLE
    else:
        trouble = Trouble.FAILED
    return PlaceError(trouble, said)


class Bucket:
    """A bucket, or all that begins with a prefix in it."""

    def __init__(self, settings: StorageSettings) -> None:
        s3, (bucket, prefix) = settings.s3, settings.bucket
        config: dict[str, Any] = {}
        if s3.endpoint is not None:
            config["endpoint"] = s3.endpoint
        if s3.region is not None:
            config["region"] = s3.region
        if s3.access_key_id is not None and s3.secret_access_key is not None:
            config["access_key_id"] = s3.access_key_id
            config["secret_access_key"] = s3.secret_access_key.get_secret_value()
        timeout = timedelta(seconds=settings.timeout)
        client: dict[str, Any] = {
            "timeout": timeout,
            "connect_timeout": timeout,
            "allow_http": s3.endpoint is not None and s3.endpoint.startswith("http://"),
        }
        if s3.ca is not None:
            client["root_certificate"] = s3.ca.read_text()
        self._timeout = settings.timeout
        self._part_size = settings.part_size
        self._store = S3Store(
            bucket,
            prefix=prefix or None,
            config=config,  # type: ignore[arg-type] # its fields are those of S3Config
            client_options=client,  # type: ignore[arg-type] # and those of ClientConfig
            retry_config={"max_retries": RETRIES, "retry_timeout": timeout},
        )
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ask(self, call: Awaitable[_T]) -> _T:
        """Return what the server answers.

        Raises:
            PlaceError: it answers with an error, or not in time.
            NameTaken: the object that was to be made is there.
        """
        try:
            with anyio.fail_after(self._timeout):
                return await call
        except TimeoutError:
            raise PlaceError(Trouble.TIMED_OUT, f"no answer within {self._timeout:g} s") from None
        except (AlreadyExistsError, PreconditionError) as error:
            raise NameTaken from error
        except (BaseError, FileNotFoundError, ValueError, OSError) as error:
            raise _trouble(error) from error

    async def check(self) -> None:
        """Find out whether the bucket answers."""
        await self.ask(_first(self._store))

    async def has(self, name: str) -> bool:
        """Tell whether there is an object of that name."""
        return await self.size_of(name) is not None

    async def size_of(self, name: str) -> int | None:
        """Return the size of an object; None: there is none.

        Raises:
            PlaceError: it can't be found out.
        """
        try:
            return int((await self.ask(obstore.head_async(self._store, name)))["size"])
        except PlaceError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            if error.trouble is Trouble.DENIED:
                await self.check()  # the answer to HEAD has no body that says why; this one has
            raise

    def write(self, name: str, *, staged: bool) -> ObjectWriting:
        """Begin an object."""
        return ObjectWriting(self, f"{name}@{secrets.token_hex(8)}.part" if staged else name)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        """Yield an object's bytes."""
        result = await self.ask(obstore.get_async(self._store, name))
        stream = result.stream(min_chunk_size=READ_SIZE)
        while (piece := await self.ask(_next(stream))) is not None:
            yield bytes(piece)

    # for an object that is being written

    @property
    def part_size(self) -> int:
        """Bytes of a part."""
        return self._part_size

    async def put(self, name: str, data: bytes) -> None:
        """Make an object at once.

        Raises:
            NameTaken: there is one.
        """
        await self.ask(obstore.put_async(self._store, name, data, mode="create", use_multipart=False))

    def open_parts(self, name: str) -> AsyncWritableFile:
        """Begin an object in parts."""
        return obstore.open_writer_async(
            self._store, name, buffer_size=self._part_size, max_concurrency=CONCURRENT_PARTS
        )

    def lock(self, name: str) -> asyncio.Lock:
        """Return the lock under which an object gets its name, which S3 gives to whoever comes last."""
        lock = self._locks.get(name)
        if lock is None:
            self._locks[name] = lock = asyncio.Lock()
        return lock

    async def move(self, name: str, to: str) -> None:
        """Rename an object."""
        await self.ask(obstore.rename_async(self._store, name, to))

    async def remove(self, name: str) -> None:
        """Delete an object."""
        await self.ask(obstore.delete_async(self._store, name))


class ObjectWriting:
    """An object on its way into a bucket.

    Args:
        name: under which it is made, if it is too large to be put at once.
    """

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = name
        self._waiting = bytearray()
        self._size = 0
        self._parts: AsyncWritableFile | None = None
        self._uploaded = False

    async def write(self, piece: bytes | memoryview) -> None:
        """Append to it."""
        self._waiting += piece
        self._size += len(piece)
        if self._parts is None and len(self._waiting) > self._bucket.part_size:
            self._parts = self._bucket.open_parts(self._name)
        if self._parts is not None and len(self._waiting) >= WRITE_SIZE:
            await self._upload(self._parts)

    async def _upload(self, parts: AsyncWritableFile) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        await self._bucket.ask(parts.write(data))

    async def commit(self, name: str) -> None:
        """Make it appear."""
        if self._parts is None:
            await self._bucket.put(name, bytes(self._waiting))
        else:
            async with self._bucket.lock(name):
                await self._complete(self._parts, name)
        size = await self._bucket.size_of(name)
        if size != self._size:
            raise PlaceError(Trouble.INCOMPLETE, f"{size or 0} of {self._size} bytes are there")

    async def _complete(self, parts: AsyncWritableFile, name: str) -> None:
        if await self._bucket.has(name):
            raise NameTaken
        if name == self._name:
            await self._finish(parts)
            return
        if "@" not in self._name:
            # Another one has got the name since this upload began, which can have no other name any more.
            raise PlaceError(Trouble.FAILED, "two contents of one instance came at the same time")
        await self._finish(parts)
        await self._bucket.move(self._name, name)
        self._uploaded = False

    async def _finish(self, parts: AsyncWritableFile) -> None:
        await self._upload(parts)
        await self._bucket.ask(parts.close())
        self._uploaded = True

    async def discard(self) -> None:
        """Forget it."""
        self._parts = None
        if self._uploaded and "@" in self._name:
            with suppress(PlaceError):
                await self._bucket.remove(self._name)

    def abandon(self) -> None:
        """Forget it."""
        self._parts = None


async def _first(store: S3Store) -> None:
    """Ask for the first objects of a bucket."""
    async for _ in obstore.list(store, chunk_size=1):
        return


async def _next(stream: BytesStream) -> Any:
    """Return the next piece of an object; None: there is none."""
    try:
        return await anext(stream)
    except StopAsyncIteration:
        return None
