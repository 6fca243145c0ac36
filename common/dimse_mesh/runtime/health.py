"""/livez, /readyz and /metrics over HTTP/1.1, served by a supervised task with limits of its own."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.abc

from dimse_mesh.runtime.errors import listen_error
from dimse_mesh.runtime.settings_observability import HttpSettings

MAX_REQUEST_BYTES = 8192
REQUEST_SECONDS = 5.0
MAX_CONNECTIONS = 32
_TEXT = "text/plain; charset=utf-8"


class HealthServer:
    """Answers probes. `unready` returns why the process isn't ready, or None when it is."""

    def __init__(
        self,
        settings: HttpSettings,
        *,
        unready: Callable[[], str | None],
        exposition: Callable[[], bytes] | None = None,
        exposition_type: str = _TEXT,
    ) -> None:
        self._settings = settings
        self._unready = unready
        self._exposition = exposition
        self._exposition_type = exposition_type
        self._slots = anyio.Semaphore(MAX_CONNECTIONS)
        self.port = settings.port

    async def serve(self, *, task_status: anyio.abc.TaskStatus[int] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; starts with the port that is listened on.

        Raises:
            StartError: the address can't be listened on.
        """
        host, port = self._settings.host, self._settings.port
        try:
            listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
        except OSError as error:
            raise listen_error("observability.http", host, port, error) from error
        async with listener:
            self.port = listener.extra(anyio.abc.SocketAttribute.local_port)
            task_status.started(self.port)
            await listener.serve(self._connection)

    async def _connection(self, stream: anyio.abc.ByteStream) -> None:
        async with stream, self._slots:
            with anyio.move_on_after(REQUEST_SECONDS):
                try:
                    await stream.send(self.answer(await _request_line(stream)))
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    return

    def answer(self, request: tuple[str, str] | None) -> bytes:
        """Return the whole HTTP response to (method, path); None stands for bytes that are no request."""
        match request:
            case None:
                status, kind, body = "400 Bad Request", _TEXT, b"bad request\n"
            case (method, _) if method not in {"GET", "HEAD"}:
                status, kind, body = "405 Method Not Allowed", _TEXT, b"GET or HEAD\n"
            case (_, "/livez"):
                status, kind, body = "200 OK", _TEXT, b"alive\n"
            case (_, "/readyz"):
                why = self._unready()
                status = "200 OK" if why is None else "503 Service Unavailable"
                kind, body = _TEXT, f"{why or 'ready'}\n".encode()
            case (_, "/metrics") if self._exposition is not None:
                status, kind, body = "200 OK", self._exposition_type, self._exposition()
            case _:
                status, kind, body = "404 Not Found", _TEXT, b"/livez /readyz /metrics\n"
        fields = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close"
        head = f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n"
        return head.encode() + (b"" if request is not None and request[0] == "HEAD" else body)


async def _request_line(stream: anyio.abc.ByteReceiveStream) -> tuple[str, str] | None:
    """Read a request's head and return (method, path), or None when it isn't one."""
    head = bytearray()
    while b"\r\n\r\n" not in head:
        if len(head) > MAX_REQUEST_BYTES:
            return None
        try:
            head += await stream.receive(MAX_REQUEST_BYTES)
        except anyio.EndOfStream:
            return None
    parts = bytes(head).split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        return None
    return parts[0], parts[1].partition("?")[0]
