"""The newest word about a spool: heard at once, looked up where it was missed, and never an older one after a newer."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import anyio

from dimse_mesh.mesh import JetStream, Mesh, Message
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects, StateKind
from dimse_mesh.spool import NewestWord

SPOOL = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, "ARCHIVE")


class Line:
    """A line to a stream: what is said arrives at once, or is seen in the stream only."""

    def __init__(self) -> None:
        self.stored: bytes | None = None
        self.sequence = 1
        self.heard: list[bytes] = []
        self.while_reading: Callable[[], None] = lambda: None
        self._listener: Callable[[Message], None] = lambda _: None
        mesh = cast(Mesh, SimpleNamespace(subscribe=self._subscribe))
        jetstream = cast(JetStream, SimpleNamespace(last=self._last))
        self.word = NewestWord(mesh, jetstream, SPOOL, StateKind.PAUSE, self.heard.append)

    def say(self, word: bytes) -> None:
        """Say a word that is heard."""
        self._listener(cast(Message, SimpleNamespace(payload=word)))

    async def _subscribe(self, _: str, listener: Callable[[Message], None]) -> None:
        self._listener = listener

    async def _last(self, *_: str) -> object:
        found = self.stored
        self.while_reading()
        return None if found is None else SimpleNamespace(payload=found, sequence=self.sequence)


def test_a_word_that_was_missed_is_looked_up_once() -> None:
    line = Line()

    async def scenario() -> None:
        await line.word.follow()
        await line.word.measure()
        line.stored = b"paused"
        await line.word.measure()
        await line.word.measure()

    anyio.run(scenario)
    assert line.heard == [b"paused"]


def test_an_older_word_is_not_taken_after_a_newer() -> None:
    line = Line()
    line.stored = b"paused"

    async def scenario() -> None:
        await line.word.follow()
        await line.word.measure()
        line.while_reading = lambda: line.say(b"goes on")
        await line.word.measure()  # what was read is older than what was heard meanwhile
        line.while_reading = lambda: None
        await line.word.measure()  # a copy of the stream may be behind
        line.stored, line.sequence = b"goes on", 2
        await line.word.measure()

    anyio.run(scenario)
    assert line.heard == [b"paused", b"goes on"]


def test_a_word_that_is_said_again_is_heard_again() -> None:
    line = Line()

    async def scenario() -> None:
        await line.word.follow()
        line.say(b"goes on")
        line.say(b"goes on")

    anyio.run(scenario)
    assert line.heard == [b"goes on", b"goes on"]


def test_a_word_that_could_not_be_stored_stands() -> None:
    line = Line()
    line.stored = b"room"

    async def scenario() -> None:
        await line.word.follow()
        await line.word.measure()
        line.say(b"frozen")
        for _ in range(3):
            await line.word.measure()
        line.stored, line.sequence = b"room", 2
        await line.word.measure()

    anyio.run(scenario)
    assert line.heard == [b"room", b"frozen", b"room"]
