"""nats-py's client with a synchronous hot path, and with its reconnection taken away.

What stays nats-py's: handshake, authentication, TLS, websockets, pings. What is replaced, and why (ADR 5):

- **Receiving** calls the subscriber at once, in `reader.Reader`. nats-py puts each message in a queue that a
  task per subscription empties: one wake-up more per message, and an overflow drops messages. Here the reader
  is what waits, so a slow subscriber slows TCP down and nothing is dropped on this side. (Over a websocket
  nats-py's parser stays, and calls the subscriber just so.)
- **Sending** hands the bytes to the transport in the same call. nats-py concatenates them twice and wakes a
  task.
- **Reconnection** is `nats_connection.NatsConnection`'s: nats-py retries a lost socket, but a generic -ERR closes
  its client for good. Here both end in `lost`, and a new client is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp
import anyio
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.transport import TcpTransport, WebSocketTransport

from dimse_mesh.mesh.errors import report
from dimse_mesh.mesh.reader import MalformedStream, Reader
from dimse_mesh.mesh.turn import Turn, TurnWriter
from dimse_mesh.schemas.addresses import InstanceAddress, sender_of

_MAX_MESSAGE = 64 << 20
"""nats-server's own limit of max_payload."""
_NO_RESPONDERS = b"NATS/1.0 503"
_FROM_STREAM = b"\r\nNats-Stream: "
"""Stands in the headers of whatever JetStream takes out of a stream, or repeats."""
_USUAL = frozenset((0, 503))
"""Statuses of what doesn't come from JetStream."""
_NOT_FATAL = ("permissions violation", "maximum subscriptions exceeded", "invalid subject")


class Message(NamedTuple):
    """One message, as a subscriber gets it."""

    subject: str
    reply: str
    payload: bytes
    headers: Mapping[str, str] | None = None
    no_responders: bool = False
    """The server's status 503: nobody subscribes to what we published to, giving this as the reply."""
    status: int = 0
    """The status that the server itself sends in a header (404, 503, ...); 0: an instance has sent the message."""

    @property
    def sender(self) -> InstanceAddress | None:
        """The instance that published it: nats-server's permissions make that true; None: the subject names none."""
        return sender_of(self.subject)


SubscriberCallback = Callable[[Message], None]
"""Takes messages in order, synchronously. Must not raise."""


@dataclass(slots=True)
class WireEvents:
    """What a client tells its `NatsConnection`."""

    callbacks: dict[int, SubscriberCallback] = field(default_factory=dict)
    """By subscription id."""
    stored: set[int] = field(default_factory=set)
    """Ids of the subscriptions that are for what comes out of streams."""
    on_stray: Callable[[str], None] = lambda _: None
    """JetStream sent something to a subject where it has nothing to say; it was dropped."""
    on_lost: Callable[[WireClient], None] = lambda _: None
    """The connection is over, as of now."""
    on_room: Callable[[], None] = lambda: None
    """There is room again, after `has_room` said no, or after the backlog had grown over half of its limit."""
    on_refused: Callable[[str], None] = lambda _: None
    """The server refused something, but the connection lives (permissions)."""


class ConnectFailed(Exception):
    """Breaks out of nats-py's endless loop over servers; `__cause__` says why."""


class WireClient(Client):
    """One connection to one nats-server; never reconnects. `lost` is set once, with the reason."""

    def __init__(self, events: WireEvents, turn: Turn, *, tls_expected: bool, backlog_limit: int) -> None:
        super().__init__()
        self._turn = turn
        self._backlog_limit = backlog_limit
        self._events = events
        self._tls_expected = tls_expected
        self._writer: TurnWriter | None = None
        self._refused = False
        self.lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def open(self, server: str, **options: Any) -> None:
        """Connect to `server`.

        Raises:
            ConnectFailed: for every reason, with nats-py's, ssl's or the socket's exception as its cause.
        """
        if server.startswith("ws"):
            self._transport = _WebSocket(self._backlog_limit // 8, self.on_room)
        try:
            await self.connect(
                servers=[server], allow_reconnect=False, error_cb=self._raise_connect_failed, **options
            )
        except ConnectFailed:
            raise
        except Exception as exc:  # nkeys, files, aiohttp: the edge where everything is translated
            raise ConnectFailed from exc
        self._error_cb = self._ignore_error
        if not self.is_connected:  # nats-py takes an EOF in place of PONG for success
            raise ConnectFailed from nats_errors.UnexpectedEOF()
        if isinstance(self._transport, TcpTransport):
            self._take_over(self._transport)

    def _take_over(self, transport: TcpTransport) -> None:
        """Put our reader in the place of nats-py's, with what that has read already."""
        stream, writer = transport._io_reader, transport._io_writer
        assert stream is not None
        assert writer is not None
        raw = writer.transport
        reader = Reader(self, self._turn, max_message=_MAX_MESSAGE)
        raw.pause_reading()  # type: ignore[attr-defined] # a socket's transport reads too
        raw.set_protocol(reader)
        raw.set_write_buffer_limits(high=self._backlog_limit // 2, low=self._backlog_limit // 8)
        raw.resume_reading()  # type: ignore[attr-defined]
        self._writer = TurnWriter(raw, self._turn, self._flushed)
        rest = bytes(stream._buffer)  # type: ignore[attr-defined] # no public way to take it without waiting
        reader.feed(rest)
        if stream._eof:  # type: ignore[attr-defined]
            reader.eof_received()

    async def _read_loop(self) -> None:
        if not isinstance(self._transport, TcpTransport):
            await super()._read_loop()

    async def _raise_connect_failed(self, exc: Exception) -> None:
        raise ConnectFailed from exc

    async def _ignore_error(self, exc: Exception) -> None:
        """Errors that matter come through `_process_err` and `_process_op_err`."""

    @property
    def server_id(self) -> str:
        """Id of the nats-server, as in its INFO."""
        return str(self._server_info.get("server_id", ""))

    # --- sending

    def send(self, parts: Iterable[bytes | memoryview], size: int) -> bool:
        """Hand `parts` (`size` bytes in all) to the transport, in order: now, or at the end of the turn.

        False: the socket is gone.
        """
        if self._writer is None:
            self._queue(b"".join(parts))
        elif not self._writer.write(parts, size):  # `lost` follows when the reader has noticed
            return False
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += size
        return True

    def _queue(self, data: bytes) -> None:
        """Send by nats-py's own way: over a websocket."""
        assert self._transport is not None
        self._transport.write(data)
        self._pending_data_size += len(data)
        assert self._flush_queue is not None
        if self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    def _flushed(self) -> None:
        """Tell of room that the transport won't tell of."""
        refused, self._refused = self._refused, False
        if refused and self.backlog() <= self._backlog_limit // 2:
            self._events.on_room()

    def has_room(self, size: int) -> bool:
        """Tell whether `size` bytes more may be sent; if not, `WireEvents.on_room` follows."""
        if self.backlog() + size <= self._backlog_limit:
            return True
        self._refused = True
        return False

    def backlog(self) -> int:
        """Bytes taken by `send` that the socket has not taken yet."""
        if self._writer is not None:
            return self._writer.backlog
        if isinstance(self._transport, _WebSocket):
            return self._transport.queued
        return 0

    # --- receiving

    def on_message(self, sid: int, subject: str, reply: str, header: bytes, payload: bytes) -> None:
        """Hand a message to its subscriber.

        JetStream sends a reply wherever its request says, and checks no permission. So an instance could have what it
        has stored sent in the name of another one: such messages are dropped where none is expected.
        """
        callback = self._events.callbacks.get(sid)
        if callback is None:
            return
        try:
            if header:
                first, _, rest = header.partition(b"\r\n")
                status = _status_in(first)
                if sid not in self._events.stored and (_FROM_STREAM in header or status not in _USUAL):
                    self._events.on_stray(subject)
                    return
                fields = self._parse_header_lines(rest)
                refused = first.startswith(_NO_RESPONDERS)
                callback(Message(subject, reply, payload, fields, refused, status))
            else:
                callback(Message(subject, reply, payload))
        except Exception as exc:  # noqa: BLE001 - one message must not end the connection
            report("the receiver of a message", exc)

    def on_control(self, line: bytes) -> None:
        """Do what the server says."""
        verb = line[:4].upper()
        if verb == b"PING":
            self.send((b"PONG\r\n",), 6)
        elif verb == b"PONG":
            self._on_pong()
        elif verb == b"-ERR":
            self._on_error(line[4:].decode(errors="replace").strip().strip("'"))
        elif verb == b"INFO":
            _run_now(self._process_info(json.loads(line[5:])))
        elif line != b"+OK":
            raise MalformedStream("an unknown protocol line")

    def on_room(self) -> None:
        """Tell that the backlog is small again."""
        self._events.on_room()

    def on_end(self, reason: Exception | None) -> None:
        """Note that the connection is over."""
        self._end(reason or nats_errors.UnexpectedEOF())

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        self.on_message(sid, subject.decode(), reply.decode(), headers or b"", data)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._tls_expected and not self.options["tls_handshake_first"]:
            if info.get("tls_available"):
                info["tls_required"] = True
            if not info.get("tls_required"):  # nats-py would send the credentials in the clear
                raise nats_errors.Error("nats: the server does not offer TLS")
        await super()._process_info(info, initial_connection)

    async def _process_pong(self) -> None:
        self._on_pong()

    def _on_pong(self) -> None:
        # nats-py sets the result of a future that a flush's timeout has cancelled, which kills its reader.
        self._pings_outstanding = 0
        if self._pongs:
            future = self._pongs.pop(0)
            if not future.done():
                future.set_result(True)

    # --- the end

    async def _process_op_err(self, e: Exception) -> None:
        self._end(e)

    async def _process_err(self, err_msg: str) -> None:
        self._on_error(err_msg.strip("'"))

    def _on_error(self, text: str) -> None:
        if text.lower().startswith(_NOT_FATAL):
            self._events.on_refused(text)
        else:
            self._end(nats_errors.Error(f"nats: {text}"))

    def _end(self, reason: Exception) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
            self._events.on_lost(self)

    async def discard(self, timeout: float = 1.0) -> None:
        """Close the socket without waiting for anything that is queued; never raises."""
        self._end(nats_errors.ConnectionClosedError())
        self._pending.clear()
        self._pending_data_size = 0
        self._error_cb = self._ignore_error
        if not isinstance(self._transport, _WebSocket):
            self._abort()
            return
        with anyio.move_on_after(timeout, shield=True):
            with contextlib.suppress(Exception):  # whatever a dead socket raises is of no interest
                await self._close(Client.CLOSED, do_cbs=False)

    def _abort(self) -> None:
        # nats-py's own close waits for the peer, or for ever (after a TLS handshake that failed).
        self._status = Client.CLOSED
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None:
                task.cancel()
        if isinstance(self._transport, TcpTransport) and self._transport._io_writer is not None:
            self._transport._io_writer.transport.abort()


def _status_in(line: bytes) -> int:
    """Return the status of a header block's first line, `NATS/1.0 404 Not Found`; 0: it has none."""
    digits = line[9:12]
    return int(digits) if digits.isdigit() else 0


def _run_now(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine of nats-py that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise MalformedStream("the server's INFO made nats-py wait")


class _WebSocket(WebSocketTransport):
    """nats-py's websocket transport, counting its queue, and with aiohttp's present way to say a timeout."""

    def __init__(self, low: int, on_room: Callable[[], None]) -> None:
        super().__init__()
        self.queued = 0
        self._low = low
        self._on_room = on_room

    async def connect(self, uri: Any, buffer_size: int, connect_timeout: int) -> None:  # noqa: ARG002 - nats-py's interface
        self._ws = await self._client.ws_connect(
            uri.geturl(), timeout=aiohttp.ClientWSTimeout(ws_close=connect_timeout), max_msg_size=0
        )
        self._using_tls = False

    async def connect_tls(self, uri: Any, ssl_context: Any, buffer_size: int, connect_timeout: int) -> None:  # noqa: ARG002
        if self._ws is not None and self._using_tls:
            return
        self._ws = await self._client.ws_connect(
            uri.geturl(),
            ssl=ssl_context,
            timeout=aiohttp.ClientWSTimeout(ws_close=connect_timeout),
            max_msg_size=0,
        )
        self._using_tls = True

    def write(self, payload: bytes) -> None:
        self.queued += len(payload)
        self._pending.put_nowait(payload)

    async def drain(self) -> None:
        while self._ws is not None and not self._pending.empty():
            message = self._pending.get_nowait()
            await self._ws.send_bytes(message)
            before, self.queued = self.queued, self.queued - len(message)
            if self.queued < self._low <= before:
                self._on_room()
