"""The seam between the storage SCP and a place: a folder, a bucket.

A place holds objects by name. A name's parts are separated by "/" and come from `Layout.name`: they need no check.
Every method ends within the place's timeout.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Protocol


class Trouble(StrEnum):
    """Why a place doesn't do what it is asked."""

    FULL = "full"
    DENIED = "access-denied"
    MISSING = "missing"
    """The folder, or the bucket, doesn't exist."""
    TIMED_OUT = "timed-out"
    UNREACHABLE = "unreachable"
    INCOMPLETE = "incomplete"
    """What is there has another size than what was sent."""
    FAILED = "failed"


class PlaceError(Exception):
    """A place doesn't do what it is asked. The message has no name of an object in it: names may hold patient data.

    Attributes:
        trouble: what happened.
    """

    def __init__(self, trouble: Trouble, detail: str = "") -> None:
        super().__init__(f"{trouble.value}: {detail}" if detail else trouble.value)
        self.trouble = trouble


class NameTaken(Exception):
    """An object of that name is there: it is never replaced."""


class Writing(Protocol):
    """An object that is being written. Nobody sees it before `commit`."""

    async def write(self, piece: bytes | memoryview) -> None:
        """Append to it.

        Raises:
            PlaceError: it can't be written.
        """

    async def commit(self, name: str) -> None:
        """Give it its name; when this returns it is there, whole, and survives what the place survives.

        Raises:
            NameTaken: another object has that name. This one can still be committed under another name.
            PlaceError: it is not there for certain.
        """

    async def discard(self) -> None:
        """Forget it. Never raises."""

    def abandon(self) -> None:
        """Forget it without waiting. Never raises."""


class Place(Protocol):
    """Where objects are kept."""

    async def check(self) -> None:
        """Find out whether it can be used.

        Raises:
            PlaceError: it can't.
        """

    async def has(self, name: str) -> bool:
        """Tell whether there is an object of that name.

        Raises:
            PlaceError: it can't be found out.
        """

    def write(self, name: str, *, staged: bool) -> Writing:
        """Begin an object that is to be committed as `name`; `staged`: as another name, since that one is taken."""

    def read(self, name: str) -> AsyncIterator[bytes]:
        """Yield an object's bytes.

        Raises:
            PlaceError: it can't be read.
        """
