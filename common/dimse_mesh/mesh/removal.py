"""Take messages out of a stream, and never others than were meant.

A number names a message only as long as the stream is the same. After a power failure nats-server may have lost the
last messages of a stream, unless every write is synced, and somebody may have made a stream anew: then other messages
get the same numbers. So nothing is removed by its number if NATS was away since the message was read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping

import anyio

from dimse_mesh.mesh.errors import JetStreamRefusal, MeshTimeout, MeshUnavailable, NoResponders
from dimse_mesh.mesh.jetstream import RETRY_PAUSE, JetStream
from dimse_mesh.mesh.jetstream_replies import StoredMessage

_GONE = frozenset((10037, 10043))
"""Numbers of nats-server's errors for: not found, no message at that sequence."""
_FAILED = 10057
"""Its number for: a removal has failed. The message may be gone, or the stream takes nothing after a write error."""
_ID = b"nats-msg-id:"


async def remove_message(
    jetstream: JetStream,
    stream: str,
    sequence: int,
    *,
    is_it: Callable[[StoredMessage], bool],
    read: float | None = None,
) -> None:
    """Remove a message; that it is gone already is no error.

    Args:
        is_it: tells whether what stands at that number is what is to be removed: asked when NATS was away since it was
            read, and before it is tried again.
        read: when it was asked for, in seconds of the event loop; None: it is read anew before anything else.

    Raises:
        MeshError: as `JetStream.request`, the last time, or `JetStream.read`.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + jetstream.deadline
    while True:
        was_there = False
        try:
            if read is None or jetstream.was_away_since(read):
                read = loop.time()
                batch = await jetstream.read(stream, ">", first=sequence, count=1, max_bytes=1)
                if not any(found.sequence == sequence and is_it(found) for found in batch.messages):
                    return
                was_there = True
            _refuse_if_away(jetstream, read)
            await jetstream.request(f"STREAM.MSG.DELETE.{stream}", {"seq": sequence, "no_erase": True})
        except JetStreamRefusal as error:
            if error.number in _GONE:
                return
            if error.number != _FAILED or was_there:
                raise
        except (MeshTimeout, MeshUnavailable, NoResponders):
            if loop.time() >= end:
                raise
        else:
            return
        read = None
        await anyio.sleep(RETRY_PAUSE)


async def purge_up_to(jetstream: JetStream, stream: str, subject: str, sequence: int, *, read: float) -> int:
    """Remove the messages of a subject up to a number, this one included; return how many there were.

    It is asked for once. After an error it may be done, or be done yet.

    Args:
        read: when the first of them was asked for, in seconds of the event loop.

    Raises:
        MeshUnavailable: NATS was away since; nothing was asked for.
        MeshError: as `JetStream.request`.
    """
    _refuse_if_away(jetstream, read)
    # nats-server takes the number of the first that stays.
    answer = await jetstream.request(f"STREAM.PURGE.{stream}", {"filter": subject, "seq": sequence + 1})
    return int(answer.get("purged", 0))


def _refuse_if_away(jetstream: JetStream, read: float) -> None:
    """Refuse to remove by a number that may be another message's by now.

    To be called right before the removal leaves, with nothing awaited between.

    Raises:
        MeshUnavailable: NATS was away since the message was read.
    """
    if jetstream.was_away_since(read):
        raise MeshUnavailable("NATS was away since the message was read: another one may have its number")


async def message_of(
    jetstream: JetStream, stream: str, sequence: int, subject: str | None = None
) -> StoredMessage | None:
    """Return the message at a number, as the stream's leader knows it; None: there is none.

    Args:
        subject: the oldest one of this subject instead, from that number on.

    Raises:
        MeshError: as `JetStream.request`.
    """
    asked = {"seq": sequence} if subject is None else {"seq": sequence, "next_by_subj": subject}
    return await _message(jetstream, stream, asked)


async def newest_message_of(jetstream: JetStream, stream: str, subject: str) -> StoredMessage | None:
    """Return the newest message of a subject, as the stream's leader knows it; None: there is none.

    Raises:
        MeshError: as `JetStream.request`.
    """
    return await _message(jetstream, stream, {"last_by_subj": subject})


async def _message(jetstream: JetStream, stream: str, asked: Mapping[str, object]) -> StoredMessage | None:
    try:
        answer = await jetstream.request(f"STREAM.MSG.GET.{stream}", asked)
    except JetStreamRefusal as error:
        if error.number in _GONE:
            return None
        raise
    found = answer.get("message") or {}
    try:
        headers = base64.b64decode(found.get("hdrs") or "")
        payload = base64.b64decode(found.get("data") or "")
        return StoredMessage(int(found["seq"]), str(found["subject"]), payload, _id_in(headers))
    except (binascii.Error, KeyError, TypeError, ValueError) as error:
        raise JetStreamRefusal("JetStream's reply can't be read") from error


def _id_in(headers: bytes) -> str:
    """Return the id that its publisher gave a message; empty: it has none."""
    for line in headers.split(b"\r\n"):
        if line.lower().startswith(_ID):
            return line[len(_ID) :].strip().decode("ascii", "replace")
    return ""
