"""A stream in memory that answers like JetStream, slowly, and tells what is removed from it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from itertools import zip_longest
from random import Random
from typing import Any

import anyio.lowlevel

from dimse_mesh.mesh import Batch, JetStreamRefusal, MeshTimeout, StoredMessage

NOT_FOUND = 10037


def matches(pattern: str, subject: str) -> bool:
    """Tell whether a subject is one of those that a pattern names."""
    tokens = zip_longest(pattern.split("."), subject.split("."))
    return pattern == ">" or all(wanted in {"*", token} for wanted, token in tokens)


class StreamInMemory:
    """One stream.

    Args:
        on_removal: is told of each message before it is removed.
        fails: of so many of a thousand requests no answer comes; half of them are done all the same.
    """

    deadline = 0.0
    lag = 0
    """Turns of the event loop that a read takes at least, each way."""

    def __init__(
        self, random: Random, *, on_removal: Callable[[StoredMessage], None] = lambda _: None, fails: int = 0
    ) -> None:
        self.messages: dict[int, StoredMessage] = {}
        self.last_sequence = 0
        self.replicas = 1
        self.size = 0
        self.created = "2026-11-29"
        self.purged: list[int] = []
        """How many messages each purge has removed."""
        self.deleted = 0
        self.on_request: Callable[[str], None] = lambda _: None
        """Is called before a request is done."""
        self._away_at = float("-inf")
        self._failures_of_power = 0
        self._random = random
        self._on_removal = on_removal
        self._fails = fails

    def store(self, subject: str, payload: bytes, message_id: str) -> int:
        """Put a message at the end; return its sequence number."""
        self.last_sequence += 1
        self.messages[self.last_sequence] = StoredMessage(self.last_sequence, subject, payload, message_id)
        return self.last_sequence

    def lose_behind(self, sequence: int) -> None:
        """Lose the last messages, and their numbers, as by a power failure."""
        self.be_away()
        self._failures_of_power += 1  # what is under way doesn't arrive any more
        self.last_sequence = min(sequence, self.last_sequence)
        self.messages = {number: kept for number, kept in self.messages.items() if number <= sequence}

    def be_away(self) -> None:
        """Let everybody notice that NATS was away."""
        self._away_at = asyncio.get_running_loop().time()

    def was_away_since(self, then: float) -> bool:
        return self._away_at >= then

    async def publish(
        self, subject: str, payload: bytes, tail: bytes = b"", *, message_id: str, replaces: int | None = None
    ) -> int:
        assert replaces is None
        await self._pass_time()
        return self.store(subject, payload + tail, message_id)

    async def read(self, stream: str, subject: str, *, first: int = 1, count: int, max_bytes: int) -> Batch:
        del stream, max_bytes
        await self._pass_time(self.lag)
        found = [each for number, each in sorted(self.messages.items()) if number >= first]
        matching = [each for each in found if matches(subject, each.subject)]
        batch = Batch(tuple(matching[:count]), max(0, len(matching) - count))
        await self._pass_time(self.lag)
        return batch

    async def last(self, stream: str, subject: str) -> StoredMessage | None:
        del stream
        batch = await self.read("", subject, count=1 << 30, max_bytes=0)
        return batch.messages[-1] if batch.messages else None

    async def purge(self, stream: str, subject: str) -> int:
        del stream, subject  # pieces: no object of these tests has any
        await self._pass_time()
        return 0

    def tell(self, subject: str) -> bool:
        return bool(subject)

    async def request(
        self, verb: str, body: Mapping[str, Any] | None = None, *, timeout: float = 0.0
    ) -> dict[str, Any]:
        del timeout
        lived_through = self._failures_of_power
        await self._pass_time()
        fate = self._random.randrange(1000)
        if fate * 2 < self._fails or lived_through != self._failures_of_power:
            self.be_away()
            raise MeshTimeout("it came to nothing")
        self.on_request(verb)
        answer = self._do(verb.rpartition(".")[0], body or {})
        if fate < self._fails:
            self.be_away()
            raise MeshTimeout("no answer came")
        await self._pass_time()
        return answer

    def _do(self, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        match verb:
            case "STREAM.INFO":
                state = {"bytes": self.size, "last_seq": self.last_sequence}
                return {"created": self.created, "config": {"num_replicas": self.replicas}, "state": state}
            case "STREAM.MSG.GET":
                return self._get(body)
            case "STREAM.MSG.DELETE":
                if body["seq"] not in self.messages:
                    raise JetStreamRefusal("no such message", number=10043)
                self._remove(body["seq"])
                self.deleted += 1
                return {"success": True}
            case "STREAM.PURGE":
                found = [
                    number
                    for number, message in self.messages.items()
                    if number < body["seq"] and message.subject == body["filter"]
                ]
                for number in found:
                    self._remove(number)
                self.purged.append(len(found))
                return {"success": True, "purged": len(found)}
        raise AssertionError(verb)

    def _get(self, body: Mapping[str, Any]) -> dict[str, Any]:
        wanted = body.get("next_by_subj")
        for number, message in sorted(self.messages.items()):
            if number >= body["seq"] and (wanted is None or matches(wanted, message.subject)):
                if wanted is None and number != body["seq"]:
                    break
                headers = f"NATS/1.0\r\nNats-Msg-Id: {message.message_id}\r\n\r\n".encode()
                return {
                    "message": {
                        "seq": number,
                        "subject": message.subject,
                        "hdrs": base64.b64encode(headers).decode(),
                        "data": base64.b64encode(message.payload).decode(),
                    }
                }
        raise JetStreamRefusal("no message found", number=NOT_FOUND)

    def _remove(self, number: int) -> None:
        self._on_removal(self.messages[number])
        del self.messages[number]

    async def _pass_time(self, least: int = 0) -> None:
        for _ in range(least + self._random.randrange(4)):
            await anyio.lowlevel.checkpoint()
