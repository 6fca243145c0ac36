"""/livez, /readyz and /metrics over HTTP/1.1, served by a supervised task with limits of its own.

Who asks again and again takes the time of whatever else the process does. So each address has a small part of it, and
waits when that is used up; probes from another address don't, nor do its own probes for its metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import NamedTuple, cast

import anyio
import anyio.abc
from anyio import TypedAttributeLookupError
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskGroup

from dimse_mesh.runtime.errors import listen_error
from dimse_mesh.runtime.origin import origin_of
from dimse_mesh.runtime.settings_observability import HttpSettings
from dimse_mesh.runtime.time_credit import TimeCredit

MAX_REQUEST_BYTES = 8192
REQUEST_SECONDS = 5.0
MAX_CONNECTIONS = 32
MOST_CALLERS = 512
"""Callers that are told apart."""
SHARE = 0.05
"""Seconds of the process that an address gets for each second."""
SAVED = 0.2
"""Seconds that an address may save up: some dozen pages of metrics."""
MOST_CHARGED = 0.02
"""Seconds that a page takes at most: the machine may have been busy."""
ACCEPTING_SHARE = 0.2
"""Seconds of accepting for each second."""
CONNECTION_COST = 0.0004
"""Seconds that a connection takes, about."""
BACKLOG = 128
"""Connections that wait to be accepted: with more, a probe would wait for too long."""
ACCEPT_PAUSE = 1.0
"""Seconds until the next connection is accepted when the system has no more file descriptors."""
_TEXT = "text/plain; charset=utf-8"
_WELL = {"/readyz": "ready", "/healthz": "healthy"}


class HttpRequest(NamedTuple):
    """What is read of a request."""

    method: str
    path: str
    accept: str = ""
    """The Accept field; empty: there is none."""


class _Caller:
    """Who asks: what it has left, and whose turn it is of its requests."""

    __slots__ = ("credit", "turn")

    def __init__(self) -> None:
        self.credit = TimeCredit(SHARE, SAVED)
        self.turn = anyio.Lock()


class HealthServer:
    """Answers probes.

    Args:
        settings: where to listen.
        unready: returns why the process isn't ready, or None when it is.
        exposition: returns content type and text of the metrics for an Accept field; None: there are no metrics.
        pages: further paths, each with what returns why all isn't well there, or None when it is.
    """

    def __init__(
        self,
        settings: HttpSettings,
        *,
        unready: Callable[[], str | None],
        exposition: Callable[[str], tuple[str, bytes]] | None = None,
        pages: Mapping[str, Callable[[], str | None]] | None = None,
    ) -> None:
        self._settings = settings
        self._pages = {"/readyz": unready, **(pages or {})}
        self._exposition = exposition
        self._open: dict[anyio.CancelScope, None] = {}
        """Those whose request wasn't answered, the oldest first."""
        self._callers: dict[tuple[str, bool], _Caller] = {}
        """By address, and whether it asks for metrics."""
        self.port = settings.port

    async def serve(self, *, task_status: anyio.abc.TaskStatus[int] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; starts with the port that is listened on.

        Raises:
            StartError: the address can't be listened on.
        """
        host, port = self._settings.host, self._settings.port
        try:
            listener = await anyio.create_tcp_listener(local_host=host, local_port=port, backlog=BACKLOG)
        except OSError as error:
            raise listen_error("observability.http", host, port, error) from error
        async with listener, anyio.create_task_group() as tasks:
            self.port = listener.extra(anyio.abc.SocketAttribute.local_port)
            for each in listener.listeners:
                tasks.start_soon(self._accept, cast(SocketListener, each), tasks)
            task_status.started(self.port)

    async def _accept(self, listener: SocketListener, tasks: TaskGroup) -> None:
        credit = TimeCredit(ACCEPTING_SHARE)
        while True:
            try:
                stream = await listener.accept()
            except OSError:
                await anyio.sleep(ACCEPT_PAUSE)
                continue
            tasks.start_soon(self._connection, stream)
            await anyio.sleep(credit.spend(perf_counter(), CONNECTION_COST))

    def _caller_of(self, address: str, request: HttpRequest | None) -> _Caller:
        """Return what is known of who asks; of too many, the one that came first is forgotten."""
        key = address, request is not None and request.path == "/metrics"
        caller = self._callers.get(key)
        if caller is None:
            if len(self._callers) >= MOST_CALLERS:
                del self._callers[next(iter(self._callers))]
            caller = self._callers[key] = _Caller()
        return caller

    async def _connection(self, stream: SocketStream) -> None:
        address = _address_of(stream)
        async with stream:
            with anyio.move_on_after(REQUEST_SECONDS) as scope:
                if (
                    len(self._open) >= MAX_CONNECTIONS
                ):  # a probe sends its request at once; who only connects goes
                    eldest = next(iter(self._open))
                    del self._open[eldest]
                    eldest.cancel()
                self._open[scope] = None
                try:
                    request = await _request(stream)
                    caller = self._caller_of(address, request)
                    async with caller.turn:
                        await anyio.sleep(caller.credit.spend(perf_counter(), CONNECTION_COST))
                        begun = perf_counter()
                        answer = self.answer(request)
                        now = perf_counter()
                        caller.credit.spend(now, min(now - begun, MOST_CHARGED))
                    self._open.pop(scope, None)
                    await stream.send(answer)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    return
                finally:
                    self._open.pop(scope, None)

    def answer(self, request: HttpRequest | None) -> bytes:
        """Return the whole HTTP response; None stands for bytes that are no request."""
        match request:
            case None:
                status, kind, body = "400 Bad Request", _TEXT, b"bad request\n"
            case HttpRequest(method=method) if method not in {"GET", "HEAD"}:
                status, kind, body = "405 Method Not Allowed", _TEXT, b"GET or HEAD\n"
            case HttpRequest(path="/livez"):
                status, kind, body = "200 OK", _TEXT, b"alive\n"
            case HttpRequest(path=path) if path in self._pages:
                why = self._pages[path]()
                status = "200 OK" if why is None else "503 Service Unavailable"
                kind, body = _TEXT, f"{why or _WELL.get(path, 'well')}\n".encode()
            case HttpRequest(path="/metrics", accept=accept) if self._exposition is not None:
                status, (kind, body) = "200 OK", self._exposition(accept)
            case _:
                pages = " ".join(("/livez", *self._pages, "/metrics"))
                status, kind, body = "404 Not Found", _TEXT, f"{pages}\n".encode()
        fields = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close"
        head = f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n"
        return head.encode() + (b"" if request is not None and request.method == "HEAD" else body)


def _address_of(stream: SocketStream) -> str:
    try:
        return origin_of(str(stream.extra(SocketAttribute.remote_address)[0]))
    except (OSError, TypedAttributeLookupError):  # it has gone
        return ""


async def _request(stream: anyio.abc.ByteReceiveStream) -> HttpRequest | None:
    """Read a request's head; None: it isn't one."""
    head = bytearray()
    while b"\r\n\r\n" not in head:
        if len(head) > MAX_REQUEST_BYTES:
            return None
        try:
            head += await stream.receive(MAX_REQUEST_BYTES)
        except anyio.EndOfStream:
            return None
    return parse_request(bytes(head))


def parse_request(head: bytes) -> HttpRequest | None:
    """Read the head of a request, up to the empty line; None: it isn't one."""
    line, *fields = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    parts = line.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        return None
    named = (
        (name.strip().lower(), value.strip()) for name, _, value in (field.partition(":") for field in fields)
    )
    accept = ",".join(value for name, value in named if name == "accept")
    return HttpRequest(parts[0], parts[1].partition("?")[0], accept)
