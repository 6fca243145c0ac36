"""The mesh as an instance sees it: publish, subscribe, request, serve, over two supervised connections.

Control and bulk have a connection each, because a request that shares one with bulk waits 6-40 ms instead of
0.3. Publishing never waits and never buffers while disconnected: it says False.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
from anyio.abc import TaskGroup
from pydantic import BaseModel

from dimse_mesh.mesh.errors import MeshError, MeshUnavailable, NotPermitted, report
from dimse_mesh.mesh.nats_connection import NatsConnection
from dimse_mesh.mesh.requests import Reply, Requests
from dimse_mesh.mesh.responder import Handler, Responder
from dimse_mesh.mesh.settings import NatsSettings
from dimse_mesh.mesh.subscription import Subscription
from dimse_mesh.mesh.turn import Turn
from dimse_mesh.mesh.violation import Violation, Violations
from dimse_mesh.mesh.wire import Message
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.subjects import Subject, Subjects

RequestT = TypeVar("RequestT", bound=BaseModel)
ReplyT = TypeVar("ReplyT", bound=BaseModel)

log = logging.getLogger(__name__)


class Mesh:
    """What an instance sends and receives with. Made by `open_mesh`."""

    def __init__(
        self,
        settings: NatsSettings,
        *,
        root: str,
        address: InstanceAddress,
        name: str,
        tasks: TaskGroup,
    ) -> None:
        self.address = address
        """This instance's."""
        self.subjects = Subjects(root, address)
        self.turn = Turn()
        """Of the event loop: what is published while a read is dealt with leaves at its end."""
        self._settings = settings
        self._tasks = tasks
        self._listeners: list[Callable[[bool], None]] = []
        self._violations = Violations(address)
        self._up = False
        self._drained: anyio.Event | None = None
        self._responders: list[Responder[Any, Any]] = []
        self._control = NatsConnection(
            settings,
            self.turn,
            name=name,
            backlog_limit=settings.control_backlog,
            on_edge=self._edge,
            on_refused=self._violations.note,
        )
        self._bulk = NatsConnection(
            settings,
            self.turn,
            name=f"{name} bulk",
            backlog_limit=settings.bulk_backlog,
            on_edge=self._edge,
            on_refused=self._violations.note,
        )
        self._requests = Requests(self._control, self.subjects)
        self._violations.on_refused(self._requests.refused)
        self._seconds: list[Mesh] = []

    # --- state

    @property
    def connected(self) -> bool:
        """Both connections stand, with all subscriptions."""
        return self._control.connected and self._bulk.connected

    @property
    def unheard(self) -> str | None:
        """A line about a subscription that our user has lost since; None: all that was asked for is heard."""
        return self._violations.unheard

    @property
    def server_id(self) -> str:
        """Id of the nats-server of the control connection (the last one, while disconnected)."""
        return self._control.server_id

    @property
    def server_url(self) -> str:
        """URL of the nats-server of the control connection (the last one, while disconnected)."""
        return self._control.server_url

    @property
    def connected_since(self) -> float:
        """Loop time when the control connection was last established."""
        return self._control.connected_since

    @property
    def control_connected(self) -> bool:
        """The control connection stands."""
        return self._control.connected

    @property
    def control_connects(self) -> int:
        """How often the control connection was established."""
        return self._control.connects

    @property
    def subscriptions(self) -> int:
        """How many subscriptions there are, on both connections."""
        return self._control.subscriptions + self._bulk.subscriptions

    @property
    def max_payload(self) -> int:
        """Bytes of payload and headers that the server accepts."""
        return min(self._control.max_payload, self._bulk.max_payload)

    @property
    def last_error(self) -> str:
        """What the server last refused, or why a connection was last lost."""
        return self._control.last_error or self._bulk.last_error

    def on_change(self, callback: Callable[[bool], None]) -> None:
        """Call `callback(connected)` at every edge of `connected`."""
        self._listeners.append(callback)

    def on_refused(self, callback: Callable[[str, NotPermitted], None]) -> None:
        """Call `callback(subject, why)` for every publish that our user's permissions don't allow."""
        self._violations.on_refused(callback)

    async def acting_as(self, role: Role) -> Mesh:
        """Return the mesh as a second role of this process sees it: the same connections and user, its own address.

        It ends with this one, and can't `serve`.
        """
        second = copy.copy(self)
        second.address = InstanceAddress(self.address.zone, role, self.address.instance)
        second.subjects = Subjects(self.subjects.root, second.address)
        second._requests = Requests(self._control, second.subjects)
        self._seconds.append(second)
        self.on_refused(second._requests.refused)
        await second._requests.start()
        return second

    # --- publish and subscribe

    def publish(
        self, subject: str, payload: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> bool:
        """Publish on the control connection, now or at the end of the turn. False: not connected or backlog full.

        Raises:
            PayloadTooLarge, InvalidSubject: nothing was sent, nor ever could be.
        """
        header = _encode_headers(headers) if headers else b""
        return self._control.send(subject, reply, header, (payload,), len(payload))

    def publish_bulk(
        self,
        subject: str,
        *parts: bytes | memoryview,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> bool:
        """Publish `parts` as one message on the bulk connection, now or at the end of the turn.

        False: not connected, or `bulk_backlog` is at its bound; nothing was taken, try later. None may
        change afterwards: they may be sent without a copy.

        Raises:
            PayloadTooLarge, InvalidSubject: nothing was sent, nor ever could be.
        """
        header = _encode_headers(headers) if headers else b""
        return self._bulk.send(subject, reply, header, parts, sum(map(len, parts)))

    def on_bulk_room(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the bulk connection takes more, after `publish_bulk` refused for its backlog.

        It may be called without a refusal too. After a reconnect `on_change` tells instead.
        """
        self._bulk.on_room(callback)

    def bulk_backlog(self) -> int:
        """Bytes accepted by `publish_bulk` and not yet handed to the socket."""
        return self._bulk.backlog()

    async def subscribe(
        self,
        subject: str,
        callback: Callable[[Message], object],
        *,
        queue: str = "",
        bulk: bool = False,
        stored: bool = False,
    ) -> Subscription:
        """Call `callback` for every message, synchronously, in order; what it raises is logged and counted.

        On return the server knows of the subscription (if connected; else it will on reconnect). `bulk`
        receives on the bulk connection. What one connection publishes stays in order on one connection only.
        `stored` receives what JetStream sends; other subscriptions drop that, since no permission binds it.

        Raises:
            NotPermitted: our user may not.
        """
        connection = self._bulk if bulk else self._control
        subscription = Subscription(subject, queue, callback, connection)
        await subscription.start(stored=stored)
        violation = Violation(publishing=False, subject=subject, queue=queue)
        if self._violations.take_back(violation):
            await subscription.unsubscribe()
            raise NotPermitted(violation.describe(self.address))
        return subscription

    # --- request and reply

    async def request(
        self,
        subject: Subject[RequestT, ReplyT],
        head: RequestT,
        tail: bytes = b"",
        *,
        timeout: float,
        headers: Mapping[str, str] | None = None,
    ) -> Reply[ReplyT]:
        """Ask one of the instances that serve `subject`; return its reply and its address.

        Raises:
            NoResponders: nobody serves it.
            MeshTimeout: no reply within `timeout` seconds.
            MeshUnavailable: not connected.
            RemoteError: the responder answered with an error code.
            EnvelopeError: the reply is not what `subject` promises.
            NotPermitted: our user may not publish there.
        """
        header = _encode_headers(headers) if headers else b""
        return await self._requests.ask(subject, head, tail, timeout=timeout, header=header)

    async def serve(
        self,
        subject: Subject[RequestT, ReplyT],
        handler: Handler[RequestT, ReplyT],
        *,
        max_concurrent: int,
        busy: Callable[[RequestT, memoryview, Message], tuple[ReplyT, bytes]] | None = None,
    ) -> Subscription:
        """Answer requests, each in a task of its own, at most `max_concurrent` at once.

        Above that `busy` makes the reply at once; without it the requester gets `RemoteError`, code `busy`.
        A handler that raises a `MeshError` sends its code, anything else `internal`.
        """
        responder = Responder(
            subject,
            handler,
            busy=busy,
            tasks=self._tasks,
            publish=self.publish,
            reply_to=self.subjects.reply_to,
            max_concurrent=max_concurrent,
        )
        self._responders.append(responder)
        return await self.subscribe(subject.interest, responder.receive, queue=subject.queue)

    # --- the end

    async def drain(self) -> None:
        """Take back subscriptions, finish requests being served, hand everything to the server. Bounded."""
        if self._drained is not None:
            await self._drained.wait()
            return
        self._drained = anyio.Event()
        try:
            await self._drain()
        finally:
            self._drained.set()

    async def _drain(self) -> None:
        connections = (self._control, self._bulk)
        for connection in connections:
            connection.stop_receiving()
        with anyio.move_on_after(self._settings.drain_timeout):
            for connection in connections:
                await connection.flush()
            for responder in self._responders:
                await responder.idle()
            for connection in connections:
                await connection.flush()

    # --- for open_mesh

    async def _open(self, timeout: float) -> None:
        current = self._control
        try:
            with anyio.fail_after(timeout):
                for current in (self._control, self._bulk):
                    await current.connect_first()
                await self._requests.start()
        except TimeoutError:
            raise current.why_not() from None
        for connection in (self._control, self._bulk):
            self._tasks.start_soon(connection.run)

    async def _close(self) -> None:
        for mesh in (self, *self._seconds):
            mesh._requests.fail(MeshUnavailable("the mesh is closed", code="closed", retryable=False))
        for connection in (self._control, self._bulk):
            await connection.close()

    def _edge(self) -> None:
        if self.connected == self._up:
            return
        self._up = self.connected
        if not self._up:
            self._violations.clear()
        for listener in self._listeners:
            try:
                listener(self._up)
            except Exception as exc:  # noqa: BLE001 - one listener must not keep the connection from coming back
                report("a listener of the mesh", exc)


@asynccontextmanager
async def open_mesh(
    settings: NatsSettings, *, root: str, address: InstanceAddress, first_connect_timeout: float
) -> AsyncIterator[Mesh]:
    """Connect to NATS and stay connected until the block ends; then drain and close.

    Raises:
        MeshUnavailable: no connection within `first_connect_timeout` seconds, or none that waiting would
            bring. Its message is one line for people.
    """
    failure: Exception | None = None
    for host in settings.plaintext_hosts:
        log.warning("the way to NATS at %s is not encrypted: who is on the line reads all that is sent", host)
    async with anyio.create_task_group() as tasks:
        name = f"dimse-mesh {address.zone} {address.role} {address.instance}"
        mesh = Mesh(settings.of_role(address.role), root=root, address=address, name=name, tasks=tasks)
        try:
            await mesh._open(first_connect_timeout)
            yield mesh
            await mesh.drain()
        except Exception as exc:  # noqa: BLE001 - raised below, outside this task group's exception group
            failure = exc
        finally:
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await mesh._close()
    if failure is not None:
        raise failure


def _encode_headers(headers: Mapping[str, str]) -> bytes:
    lines = ["NATS/1.0"]
    for name, value in headers.items():
        line = f"{name}: {value}"
        if ":" in name or not line.isprintable():
            raise MeshError("a message header holds a colon or a control character", code="invalid-header")
        lines.append(line)
    return "\r\n".join((*lines, "", "")).encode()
