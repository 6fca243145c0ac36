"""A message is removed by its number only as long as that is its number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, cast

import anyio
import pytest

from dimse_mesh.mesh import (
    Batch,
    JetStream,
    JetStreamRefusal,
    MeshTimeout,
    MeshUnavailable,
    NoResponders,
    StoredMessage,
    message_of,
    purge_up_to,
    remove_message,
)
from tests.support.stream import StreamInMemory

Told = Callable[[str], None]


class Interrupted:
    """Loses the answer to the first removal, and lets something happen meanwhile."""

    def __init__(
        self, stream: StreamInMemory, meanwhile: Callable[[], None], *, is_done: bool = False
    ) -> None:
        self._stream = stream
        self._meanwhile = meanwhile
        self._is_done = is_done
        stream.on_request = self

    def __call__(self, verb: str) -> None:
        if "DELETE" not in verb:
            return
        self._stream.on_request = lambda _: None
        if self._is_done:
            del self._stream.messages[1]
        self._meanwhile()
        raise MeshTimeout("no answer came")


def stream_of(*names: str) -> StreamInMemory:
    stream = StreamInMemory(Random(0))
    stream.deadline = 60.0
    for name in names:
        stream.store("s", b"", name)
    return stream


def remove(stream: StreamInMemory, name: str, *, was_read: bool = True) -> None:
    def is_it(found: StoredMessage) -> bool:
        return found.message_id == name

    async def run() -> None:
        read = asyncio.get_running_loop().time() if was_read else None
        await remove_message(cast(JetStream, stream), "S", 1, is_it=is_it, read=read)

    anyio.run(run)


def names_in(stream: StreamInMemory) -> list[str]:
    return [message.message_id for message in stream.messages.values()]


def test_a_message_is_removed_and_no_other_one() -> None:
    stream = stream_of("a", "b")
    remove(stream, "a")
    remove(stream, "a")  # that it is gone is no error
    assert names_in(stream) == ["b"]


@pytest.mark.parametrize("is_done", [False, True])
def test_a_removal_without_an_answer_is_tried_again(is_done: bool) -> None:
    stream = stream_of("a", "b")
    Interrupted(stream, lambda: None, is_done=is_done)
    remove(stream, "a")
    assert names_in(stream) == ["b"]


def test_the_stream_was_made_anew_meanwhile_and_another_message_has_the_number() -> None:
    stream = stream_of("a", "b")

    def make_anew() -> None:
        stream.messages.clear()
        stream.last_sequence = 0
        stream.store("s", b"", "c")

    Interrupted(stream, make_anew)
    remove(stream, "a")
    assert names_in(stream) == ["c"]


def test_what_was_not_read_just_now_is_read_before_the_first_attempt() -> None:
    stream = stream_of("other")
    remove(stream, "a", was_read=False)
    assert names_in(stream) == ["other"]
    remove(stream, "other", was_read=False)
    assert names_in(stream) == []


class LosesBehindTheLook(StreamInMemory):
    """Loses everything when a message was read, and has another one at its number before the reader knows."""

    has_lost = False

    async def read(self, *arguments: Any, **more: Any) -> Batch:
        batch = await super().read(*arguments, **more)
        if not self.has_lost:
            self.has_lost = True
            self.lose_behind(0)
            self.store("s", b"", "other")
        return batch


def test_it_is_read_again_when_nats_was_away_since() -> None:
    stream = LosesBehindTheLook(Random(0))
    stream.deadline = 60.0
    stream.store("s", b"", "a")
    remove(stream, "a", was_read=False)
    assert names_in(stream) == ["other"]


def test_nothing_is_purged_by_a_number_that_was_read_before_nats_was_away() -> None:
    stream = stream_of("a", "b", "c")

    async def purge() -> None:
        read = asyncio.get_running_loop().time()
        stream.be_away()
        await purge_up_to(cast(JetStream, stream), "S", "s", 2, read=read)

    with pytest.raises(MeshUnavailable):
        anyio.run(purge)
    assert names_in(stream) == ["a", "b", "c"]


def test_it_gives_up_when_nats_stays_away() -> None:
    stream = stream_of("a")
    stream.deadline = 0.0

    def be_away(_: str) -> None:
        raise NoResponders("away")

    stream.on_request = be_away
    with pytest.raises(NoResponders):
        remove(stream, "a")


def test_what_nats_server_refuses_for_another_reason_is_an_error() -> None:
    stream = stream_of("a")

    def refuse(_: str) -> None:
        raise JetStreamRefusal("sealed", number=10109)

    stream.on_request = refuse
    with pytest.raises(JetStreamRefusal):
        remove(stream, "a")


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_removal_that_failed_is_done_only_if_nothing_stands_there(is_gone: bool) -> None:
    stream = stream_of("a", "b")
    stream.deadline = 0.0

    def fail(verb: str) -> None:
        if "DELETE" in verb:
            if is_gone:
                stream.messages.pop(1, None)
            raise JetStreamRefusal("whatever went wrong", number=10057)

    stream.on_request = fail
    if is_gone:
        remove(stream, "a")
    else:
        with pytest.raises(JetStreamRefusal):
            remove(stream, "a")
    assert names_in(stream) == (["b"] if is_gone else ["a", "b"])


def test_a_purge_ends_with_the_number_that_it_is_given() -> None:
    stream = stream_of("a", "b", "c")
    assert anyio.run(lambda: purge_up_to(cast(JetStream, stream), "S", "s", 2, read=0.0)) == 2
    assert names_in(stream) == ["c"]


def test_a_message_is_found_by_its_number_or_as_the_oldest_of_its_subject() -> None:
    stream = stream_of("a", "b")

    async def look() -> list[StoredMessage | None]:
        asked = cast(JetStream, stream)
        return [
            await message_of(asked, "S", 2),
            await message_of(asked, "S", 1, "s"),
            await message_of(asked, "S", 7),
        ]

    at_two, first, none = anyio.run(look)
    assert at_two == stream.messages[2]
    assert first == stream.messages[1]
    assert none is None
