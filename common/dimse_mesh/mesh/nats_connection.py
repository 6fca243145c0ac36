"""One supervised connection to NATS: connect, subscribe everything, wait until it is lost, again.

There is one way back, whatever ended the connection (socket, missed pings, a -ERR that closes it, the
server's shutdown): a new client. The wait between tries starts at `reconnect_wait`, doubles up to
`reconnect_max_wait`, and is jittered so that a restarted server isn't met by everybody at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import anyio

from dimse_mesh.mesh.complaints import Complaints
from dimse_mesh.mesh.connection_failure import ConnectionFailure, failure_of, redact
from dimse_mesh.mesh.errors import InvalidSubject, MeshUnavailable, PayloadTooLarge
from dimse_mesh.mesh.options import connect_options
from dimse_mesh.mesh.settings import NatsSettings
from dimse_mesh.mesh.turn import Turn
from dimse_mesh.mesh.wire import ConnectFailed, SubscriberCallback, WireClient, WireEvents
from dimse_mesh.schemas.addresses import sender_of

log = logging.getLogger(__name__)

_FLUSH_TIMEOUT = 5.0
_LONGEST_LINE = 3072
"""Characters of a subject and its reply; nats-server ends a connection whose line exceeds 4,096 bytes."""
_MAX_SERVERS = 64
"""Servers tried in turn: those of the settings, and those that the cluster told us of."""


@dataclass(frozen=True, slots=True)
class _Interest:
    subject: str
    queue: str

    def command(self, sid: int) -> bytes:
        return f"SUB {self.subject} {self.queue} {sid}\r\n".encode()


class NatsConnection:
    """A connection that comes back. `send` works while `connected`; subscriptions survive every reconnect."""

    def __init__(
        self,
        settings: NatsSettings,
        turn: Turn,
        *,
        name: str,
        backlog_limit: int,
        on_edge: Callable[[], None],
        on_refused: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._turn = turn
        self._name = name
        self._backlog_limit = backlog_limit
        self._on_edge = on_edge
        self._on_refused = on_refused
        self._events = WireEvents(on_lost=self._lost, on_refused=self._refused, on_stray=self._stray)
        self._complaints = Complaints(log)
        self._interests: dict[int, _Interest] = {}
        self._last_sid = 0
        self._wire: WireClient | None = None
        self._pool = list(settings.servers)
        self._tls_names: dict[str, str] = {}
        """Of servers that we were told of by address only: whose certificate they show."""
        random.shuffle(self._pool)
        self.connected = False
        self.connected_since = 0.0
        self.server_url = ""
        """Where it is, or was last, connected to."""
        self.connects = 0
        self.last_error = ""
        """What the server last refused, or why the connection was last lost or could not be made."""

    def on_room(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever the backlog, after refusing something, has become small."""
        self._events.on_room = callback

    # --- what it is connected to

    @property
    def server_id(self) -> str:
        """Id of the nats-server that it is, or was last, connected to."""
        return self._wire.server_id if self._wire is not None else ""

    @property
    def max_payload(self) -> int:
        """Bytes of payload and headers that the server accepts."""
        return int(self._wire.max_payload) if self._wire is not None else 1 << 20

    @property
    def subscriptions(self) -> int:
        """How many subscriptions it has, or will have on its return."""
        return len(self._interests)

    def backlog(self) -> int:
        """Bytes accepted by `send` and not yet handed to the socket."""
        return self._wire.backlog() if self._wire is not None and self.connected else 0

    # --- messages

    def send(
        self, subject: str, reply: str, header: bytes, parts: Iterable[bytes | memoryview], size: int
    ) -> bool:
        """Publish now. False: not connected, or the backlog is full; nothing was taken.

        Raises:
            InvalidSubject: `subject` or `reply` can't be put on the wire.
            PayloadTooLarge: headers and payload exceed the server's `max_payload`.
        """
        wire = self._wire
        if wire is None or not self.connected:
            return False
        check_subject(subject)
        if reply:
            check_subject(reply)
        if len(subject) + len(reply) > _LONGEST_LINE:
            raise InvalidSubject("subject and reply are longer than a line of the protocol")
        total = len(header) + size
        if total > wire.max_payload:  # nats-py doesn't count headers: the server would close the connection
            raise PayloadTooLarge(f"message of {total} bytes; the server accepts {wire.max_payload}")
        if not wire.has_room(total):
            return False
        to = f"{subject} {reply}" if reply else subject
        if header:
            line = f"HPUB {to} {len(header)} {total}\r\n".encode()
            return wire.send((line, header, *parts, b"\r\n"), total)
        return wire.send((f"PUB {to} {total}\r\n".encode(), *parts, b"\r\n"), total)

    async def subscribe(
        self, subject: str, queue: str, callback: SubscriberCallback, *, stored: bool = False
    ) -> int:
        """Subscribe, now and after every reconnect; return the subscription's id.

        `stored`: to what JetStream sends. Without it, that is dropped.
        When it returns the server has the subscription, unless the connection is down: then it gets it on return.
        """
        check_subject(subject)
        if queue:
            check_subject(queue)
        self._last_sid += 1
        sid = self._last_sid
        interest = _Interest(subject, queue)
        self._interests[sid] = interest
        self._events.callbacks[sid] = callback
        if stored:
            self._events.stored.add(sid)
        if self._wire is not None and not self._wire.lost.done():
            command = interest.command(sid)
            self._wire.send((command,), len(command))
            await self.flush()
        return sid

    def unsubscribe(self, sid: int) -> None:
        """Forget a subscription at once; what is on its way is dropped."""
        self._forget(sid)
        if self._interests.pop(sid, None) is not None and self.connected and self._wire is not None:
            command = f"UNSUB {sid}\r\n".encode()
            self._wire.send((command,), len(command))

    async def drain(self, sid: int) -> None:
        """Take back a subscription; messages that the server has sent already are still delivered."""
        if self._interests.pop(sid, None) is not None and self.connected and self._wire is not None:
            command = f"UNSUB {sid}\r\n".encode()
            self._wire.send((command,), len(command))
            await self.flush()
        self._forget(sid)

    def stop_receiving(self) -> None:
        """Take back every subscription; messages that the server has sent already are still delivered."""
        if self._wire is not None and self.connected:
            commands = [f"UNSUB {sid}\r\n".encode() for sid in self._interests]
            self._wire.send(commands, sum(map(len, commands)))
        self._interests.clear()

    async def flush(self, timeout: float = _FLUSH_TIMEOUT) -> bool:
        """Wait until the server has seen everything sent so far; False: it did not, in time."""
        wire = self._wire
        if wire is None or wire.lost.done():
            return False
        pong: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        with anyio.move_on_after(timeout):
            try:
                await wire._send_ping(pong)
            except OSError:
                return False
            await asyncio.wait((pong, wire.lost), return_when=asyncio.FIRST_COMPLETED)
        return pong.done()

    # --- life

    async def connect_first(self) -> None:
        """Connect for the first time; try again, for ever, what may help (the server may be starting too).

        Raises:
            MeshUnavailable: what trying again would not help: credentials, certificates, files.
        """
        await self._connect(first=True)

    async def run(self) -> None:
        """Stay connected, until cancelled."""
        while True:
            wire = self._wire
            assert wire is not None
            await asyncio.wait((wire.lost,))
            cause = failure_of(wire.lost.result())
            self.last_error = cause.code
            log.warning("lost the connection %s to NATS: %s; reconnecting", self._name, cause.text)
            await wire.discard()
            await self._connect(first=False)
            log.info("connection %s to NATS is back (server %s)", self._name, self.server_id)

    async def close(self) -> None:
        """Close the connection; what was sent is handed to the socket first."""
        wire = self._wire
        if wire is not None:
            await self.flush(self._settings.drain_timeout)
            self._down()
            self._wire = None
            await wire.discard()

    def unavailable(self, cause: ConnectionFailure | None, server: str = "") -> MeshUnavailable:
        """Return the exception that says why there is no connection."""
        where = redact(server) if server else ", ".join(map(redact, self._settings.servers))
        if cause is None:
            return MeshUnavailable(f"can't connect to NATS at {where}: timed out", code="timed-out")
        return MeshUnavailable(
            f"can't connect to NATS at {where}: {cause.text}", code=cause.code, retryable=cause.retryable
        )

    def why_not(self) -> MeshUnavailable:
        """Return the exception for a first connection that was given up: the last cause seen."""
        cause, server = self._last_failure
        return self.unavailable(cause, server)

    _last_failure: tuple[ConnectionFailure | None, str] = (None, "")

    async def _connect(self, *, first: bool) -> None:
        wait = self._settings.reconnect_wait
        attempt = 0
        while True:
            server = self._pool[attempt % len(self._pool)]
            cause = await self._try(server)
            if cause is None:
                return
            self._last_failure = (cause, server)
            self.last_error = cause.code
            attempt += 1
            if first and not cause.retryable and attempt >= len(self._pool):
                raise self.unavailable(cause, server)
            log.debug("no connection %s to NATS at %s: %s", self._name, redact(server), cause.text)
            if attempt % len(self._pool) == 0:
                await anyio.sleep(wait * random.uniform(0.5, 1.0))
                wait = min(wait * 2, self._settings.reconnect_max_wait)

    async def _try(self, server: str) -> ConnectionFailure | None:
        tls = self._settings.wants_tls(server)
        wire = WireClient(self._events, self._turn, tls_expected=tls, backlog_limit=self._backlog_limit)
        opened = False
        try:
            with anyio.fail_after(self._settings.connect_timeout):
                options = connect_options(self._settings, name=self._name, tls=tls)
                if tls and server in self._tls_names:
                    options.setdefault("tls_hostname", self._tls_names[server])
                await wire.open(server, **options)
                self._wire = wire
                # No await between these two: `subscribe` sends for itself from here on.
                commands = [interest.command(sid) for sid, interest in self._interests.items()]
                wire.send(commands, sum(map(len, commands)))
                opened = await self.flush()
        except (ConnectFailed, OSError) as exc:  # TimeoutError is an OSError, as is ssl.SSLError
            return failure_of(exc)
        finally:
            if not opened:
                if self._wire is wire:
                    self._wire = None
                await wire.discard()
        if not opened:
            return failure_of(wire.lost.result() if wire.lost.done() else TimeoutError())
        self._learn_servers(server, wire)
        self.server_url = server
        self.connected = True
        self.connected_since = asyncio.get_running_loop().time()
        self.connects += 1
        self._on_edge()
        return None

    def _lost(self, wire: WireClient) -> None:
        """Stop sending at once: what a dead transport takes is gone."""
        if wire is self._wire:
            self._down()

    def _down(self) -> None:
        if self.connected:
            self.connected = False
            self._on_edge()

    def _learn_servers(self, server: str, wire: WireClient) -> None:
        """Add the cluster's other servers, as the INFO names them, with this server's scheme and user."""
        parts = urlsplit(server)
        user = parts.netloc.rpartition("@")[0]
        known = {urlsplit(url).netloc.rpartition("@")[2] for url in self._pool}
        name = self._tls_names.get(server) or parts.hostname or ""
        for found in wire.discovered_servers:
            if found.netloc not in known and len(self._pool) < _MAX_SERVERS:
                netloc = f"{user}@{found.netloc}" if user else found.netloc
                url = parts._replace(netloc=netloc).geturl()
                self._pool.append(url)
                if _is_address(found.hostname) and not _is_address(name):
                    self._tls_names[url] = name

    def _forget(self, sid: int) -> None:
        self._events.callbacks.pop(sid, None)
        self._events.stored.discard(sid)

    def _stray(self, subject: str) -> None:
        self._complaints.dropped(
            "a message of JetStream's, which only an instance may send", sender_of(subject)
        )

    def _refused(self, text: str) -> None:
        self.last_error = text
        self._on_refused(text)


def _is_address(host: str | None) -> bool:
    try:
        ip_address(host or "")
    except ValueError:
        return False
    return True


def check_subject(subject: str) -> None:
    """Refuse what would break out of the protocol line.

    Raises:
        InvalidSubject: empty, white space, or a control character.
    """
    if not subject or " " in subject or not subject.isprintable():
        raise InvalidSubject("a subject is one printable word")
