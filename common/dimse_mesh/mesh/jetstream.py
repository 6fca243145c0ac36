"""JetStream by its wire protocol, over the mesh's own two connections.

JetStream is requests and replies: what nats-server has stored it acknowledges by a message to the reply subject, and
what a reader asks for comes as messages there. So the connections of `Mesh`, which come back by themselves, are
all that is needed, and nothing of nats-py's own reconnection is. Messages with data travel on the bulk connection.

A message is stored exactly once though it is sent again: it carries an id, and nats-server drops what it has
(within the stream's `duplicate_window`).

https://docs.nats.io/reference/reference-protocols/nats_api_reference, ADR-31 (direct get), ADR-50
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio

from dimse_mesh.mesh.connection import Mesh
from dimse_mesh.mesh.errors import JetStreamRefusal, MeshTimeout, MeshUnavailable, NoResponders, NotPermitted
from dimse_mesh.mesh.jetstream_replies import (
    MESSAGE_NOT_FOUND,
    Batch,
    Gathering,
    OneReply,
    ReplyReceiver,
    StoredMessage,
    number_in,
    read_reply,
)
from dimse_mesh.mesh.wire import Message
from dimse_mesh.schemas.subjects import jetstream_api

ACK_PATIENCE = 5.0
"""Seconds for the acknowledgement of one sending of a message; then it is sent again."""
API_TIMEOUT = 10.0
"""Seconds for the reply to a request, writing to a slow disk included."""
SILENCE = 5.0
"""Seconds without a message, in the middle of a batch, after which the rest of it is asked for again."""
MOST_NEWEST = 512
"""Subjects that one request asks for; nats-server takes 1,024."""
RETRY_PAUSE = 0.05
"""Seconds before something is sent again that was refused for the moment."""

_NOT_FOUND = frozenset((10037, 10059))
"""Numbers of nats-server's errors for: no message, no stream."""


class JetStream:
    """JetStream as one instance uses it.

    Args:
        domain: of the nats-servers that keep the streams; None: those that this instance is connected to.
        deadline: seconds that an outage of NATS may last before a call gives up.
    """

    def __init__(self, mesh: Mesh, *, domain: str | None = None, deadline: float) -> None:
        self._mesh = mesh
        self._api = jetstream_api(domain)
        self._deadline = deadline
        own = secrets.token_hex(4)  # an instance may have several of these: none takes another one's replies
        self._control = mesh.subjects.jetstream(f"c{own}")
        self._bulk = mesh.subjects.jetstream(f"b{own}")
        self._waiting: dict[str, ReplyReceiver] = {}
        self._last = 0
        self._away_at = float("-inf")

    @property
    def deadline(self) -> float:
        """Seconds that an outage of NATS may last before a call gives up."""
        return self._deadline

    def was_away_since(self, then: float) -> bool:
        """Tell whether NATS or JetStream seemed to be away since a moment, in seconds of the event loop.

        Then a stream may have lost its last messages (when the power failed), and others may have their numbers.
        """
        return self._away_at >= then

    async def start(self) -> None:
        """Subscribe to the replies."""
        await self._mesh.subscribe(f"{self._control}.*", self._receive, stored=True)
        await self._mesh.subscribe(f"{self._bulk}.*", self._receive, bulk=True, stored=True)
        self._mesh.on_change(self._changed)
        self._mesh.on_refused(self._refused)

    def on_return(self, callback: Callable[[], None]) -> None:
        """Call `callback()` whenever the connection to NATS is back: nats-server may have been started anew."""
        self._mesh.on_change(lambda connected: callback() if connected else None)

    # --- requests

    async def request(
        self, verb: str, body: Mapping[str, Any] | None = None, *, timeout: float = API_TIMEOUT
    ) -> dict[str, Any]:
        """Ask the API, `STREAM.INFO.name` for example; return the reply.

        Raises:
            JetStreamRefusal: the reply is an error.
            NoResponders: there is no JetStream.
            MeshTimeout, MeshUnavailable: no reply.
        """
        message = await self._ask(verb, body, timeout=timeout)
        if message.no_responders:
            self._note_away()
            raise NoResponders("JetStream is not enabled on the nats-server, or its domain can't be reached")
        return read_reply(message.payload)

    async def _ask(self, verb: str, body: Mapping[str, Any] | None, *, timeout: float) -> Message:
        """Ask the API; return its reply as it came.

        Raises:
            MeshTimeout, MeshUnavailable: no reply.
            NotPermitted: our user may not ask that.
        """
        payload = b"" if body is None else json.dumps(body).encode()
        reply, waiting = self._expect(self._control, verb)
        try:
            if not self._mesh.publish(f"{self._api}.{verb}", payload, reply=reply):
                self._note_away()
                raise MeshUnavailable("no connection to NATS")
            with anyio.fail_after(timeout):
                message = await waiting.future
        except TimeoutError:
            self._note_away()
            raise MeshTimeout(f"JetStream does not answer within {timeout:g} s") from None
        finally:
            del self._waiting[reply]
        if message is None:
            raise MeshUnavailable("the connection to NATS was lost")
        return message

    async def request_persistently(self, verb: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask the API, again and again while NATS is away, until the deadline.

        Raises:
            MeshError: as `request`, the last time.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadline
        while True:
            try:
                return await self.request(verb, body)
            except (MeshTimeout, MeshUnavailable, NoResponders):
                if loop.time() >= end:
                    raise
            await anyio.sleep(RETRY_PAUSE)

    # --- streams

    async def ensure_stream(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Create a stream, or change it to what `config` says; return its info.

        Raises:
            MeshError: as `request`.
        """
        name = config["name"]
        try:
            found = await self.request(f"STREAM.INFO.{name}")
        except JetStreamRefusal as error:
            if error.number not in _NOT_FOUND:
                raise
            return await self.request(f"STREAM.CREATE.{name}", config)
        present = found["config"]
        if all(present.get(key, type(value)()) == value for key, value in config.items()):
            return found
        return await self.request(f"STREAM.UPDATE.{name}", {**present, **config})

    async def streams(self, subject: str) -> list[str]:
        """Return the names of the streams that take a subject.

        Raises:
            MeshError: as `request`.
        """
        return [str(name) for name in await self._listed("STREAM.NAMES", subject)]

    async def stream_infos(self, subject: str) -> list[dict[str, Any]]:
        """Return configuration and state of each stream that takes a subject.

        Raises:
            MeshError: as `request`.
        """
        return await self._listed("STREAM.LIST", subject)

    async def _listed(self, verb: str, subject: str) -> list[Any]:
        listed: list[Any] = []
        while True:
            answer = await self.request(verb, {"subject": subject, "offset": len(listed)})
            found = answer.get("streams") or []
            listed += found
            if not found or len(listed) >= answer.get("total", 0):
                return listed

    async def count(self, stream: str, subject: str) -> int:
        """Return how many messages a stream has on a subject, which may hold wildcards.

        Raises:
            MeshError: as `request`.
        """
        return sum((await self.counts(stream, subject)).values())

    async def counts(self, stream: str, subject: str) -> dict[str, int]:
        """Return how many messages a stream has on each subject that matches.

        Raises:
            MeshError: as `request`.
        """
        found: dict[str, int] = {}
        while True:
            answer = await self.request(
                f"STREAM.INFO.{stream}", {"subjects_filter": subject, "offset": len(found)}
            )
            counts: dict[str, int] = answer["state"].get("subjects") or {}
            found.update(counts)
            if not counts or len(found) >= answer.get("total", 0):
                return found

    # --- messages in

    def tell(self, subject: str) -> bool:
        """Publish an empty message that no stream keeps, behind what was published before. False: not connected."""
        return self._mesh.publish_bulk(subject, b"")

    async def publish(
        self,
        subject: str,
        payload: bytes,
        tail: bytes = b"",
        *,
        message_id: str,
        replaces: int | None = None,
    ) -> int:
        """Store a message; return its sequence number once nats-server says that it is on disk.

        Args:
            payload, tail: the message; neither may change afterwards.
            message_id: by which nats-server knows it again when it is sent twice.
            replaces: sequence number of what must be the newest message of the subject; 0: there is none.

        Raises:
            StreamFull: there is no room.
            WrongLastSequence: another message than `replaces` is the newest.
            JetStreamRefusal: it is refused for another reason.
            MeshTimeout: no acknowledgement came until the deadline; it may be stored all the same.
        """
        headers = {"Nats-Msg-Id": message_id}
        if replaces is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(replaces)
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadline
        while (remaining := end - loop.time()) > 0:
            reply, waiting = self._expect(self._bulk, subject)
            message: Message | None = None
            try:
                if self._mesh.publish_bulk(subject, payload, tail, reply=reply, headers=headers):
                    with anyio.move_on_after(min(ACK_PATIENCE, remaining)):
                        message = await waiting.future
            finally:
                del self._waiting[reply]
            if message is not None and not message.no_responders:
                sequence = read_reply(message.payload).get("seq")
                if not isinstance(sequence, int):
                    raise JetStreamRefusal("JetStream's acknowledgement has no sequence number")
                return sequence
            self._note_away()
            await anyio.sleep(RETRY_PAUSE)
        raise MeshTimeout(f"JetStream did not acknowledge a message within {self._deadline:g} s")

    # --- messages out

    async def read(self, stream: str, subject: str, *, first: int = 1, count: int, max_bytes: int) -> Batch:
        """Return messages of a subject (it may hold wildcards), from sequence number `first` on.

        Fewer than `count` come if `max_bytes` are reached, or if there are no more; at least one if there is one.

        Raises:
            MeshTimeout: NATS or the stream was away until the deadline.
            JetStreamRefusal: the request is refused.
        """
        request = {"seq": first, "next_by_subj": subject, "batch": count, "max_bytes": max_bytes}
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadline
        while loop.time() < end:
            gathering = await self._gather(stream, request)
            if gathering.messages or (gathering.ended and not gathering.cut):
                # What a cut has brought is in order and without a gap: the reader goes on behind it.
                return Batch(tuple(gathering.messages), max(gathering.pending, int(gathering.cut)))
            await anyio.sleep(RETRY_PAUSE)
        raise MeshTimeout(f"stream {stream} could not be read for {self._deadline:g} s")

    async def newest(self, stream: str, subjects: Sequence[str]) -> dict[str, StoredMessage]:
        """Return the newest message of each subject that has one.

        Raises:
            MeshTimeout: NATS or the stream was away until the deadline.
            JetStreamRefusal: the request is refused.
        """
        found: dict[str, StoredMessage] = {}
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadline
        for at in range(0, len(subjects), MOST_NEWEST):
            request = {"multi_last": list(subjects[at : at + MOST_NEWEST]), "batch": MOST_NEWEST}
            while True:
                gathering = await self._gather(stream, request)
                if gathering.ended and not gathering.cut:
                    found.update((message.subject, message) for message in gathering.messages)
                    break
                if loop.time() >= end:
                    raise MeshTimeout(f"stream {stream} could not be read for {self._deadline:g} s")
                await anyio.sleep(RETRY_PAUSE)
        return found

    async def _gather(self, stream: str, request: Mapping[str, Any]) -> Gathering:
        """Ask once for a batch, and gather what comes until it ends or nothing comes any more.

        Raises:
            JetStreamRefusal: the request is refused.
        """
        body = json.dumps(request).encode()
        loop = asyncio.get_running_loop()
        gathering = Gathering(f"DIRECT.GET.{stream}")
        reply = self._register(self._bulk, gathering)
        try:
            if self._mesh.publish_bulk(f"{self._api}.DIRECT.GET.{stream}", body, reply=reply):
                with anyio.move_on_after(SILENCE) as scope:
                    while not gathering.ended:
                        gathering.event.clear()
                        await gathering.event.wait()
                        scope.deadline = loop.time() + SILENCE
        finally:
            del self._waiting[reply]
        if gathering.failure is not None:
            raise gathering.failure
        if gathering.cut or not gathering.ended:
            self._note_away()
        return gathering

    async def last(self, stream: str, subject: str) -> StoredMessage | None:
        """Return the newest message of a subject; None: there is none.

        Raises:
            MeshError: as `request`.
        """
        message = await self._ask(f"DIRECT.GET.{stream}.{subject}", None, timeout=API_TIMEOUT)
        if message.status == MESSAGE_NOT_FOUND:
            return None
        if message.status:
            raise NoResponders(f"stream {stream} can't be read: status {message.status}")
        headers = message.headers or {}
        return StoredMessage(
            number_in(headers, "Nats-Sequence"), subject, message.payload, headers.get("Nats-Msg-Id", "")
        )

    async def purge(self, stream: str, subject: str) -> int:
        """Remove all messages of a subject; return how many there were.

        It may be asked for again after an outage: so only for a subject on which nothing new comes.

        Raises:
            MeshError: as `request`.
        """
        answer = await self.request_persistently(f"STREAM.PURGE.{stream}", {"filter": subject})
        return int(answer.get("purged", 0))

    # --- replies

    def _expect(self, prefix: str, asked: str) -> tuple[str, OneReply]:
        waiting = OneReply(asked)
        return self._register(prefix, waiting), waiting

    def _register(self, prefix: str, waiting: ReplyReceiver) -> str:
        self._last += 1
        reply = f"{prefix}.{self._last}"
        self._waiting[reply] = waiting
        return reply

    def _receive(self, message: Message) -> None:
        waiting = self._waiting.get(message.subject)
        if waiting is not None:
            waiting.receive(message)

    def _note_away(self) -> None:
        self._away_at = asyncio.get_running_loop().time()

    def _changed(self, connected: bool) -> None:
        self._note_away()
        if not connected:
            for waiting in list(self._waiting.values()):
                waiting.lost()

    def _refused(self, subject: str, why: NotPermitted) -> None:
        asked = subject.removeprefix("$JS.API.")  # a domain's requests are refused as what they are mapped to
        for waiting in list(self._waiting.values()):
            if waiting.asked in {subject, asked, subject.removeprefix(f"{self._api}.")}:
                waiting.refused(why)
