"""A listener: accepts a few connections at a time, and lets in those of each address by turns.

Connections that come as fast as they can would have the process for themselves: the event loop's own servers accept all
that wait before anything else is done. So the door accepts for a part of the time, and what it has accepted stands in
line: one line for each address, so that an address with thousands doesn't keep another one waiting. What stands in line
counts as waiting (`WaitingRoom`), and costs little: the connection isn't set up or read before its turn.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Final, Protocol

import anyio
from anyio.abc import SocketAttribute

from dimse_mesh.association.waiting import Waiting, WaitingRoom
from dimse_mesh.endpoint import PeerConnection
from dimse_mesh.endpoint.timed_work import TimedWork
from dimse_mesh.mesh.errors import report
from dimse_mesh.mesh.quiet import Quiet
from dimse_mesh.runtime.time_credit import TimeCredit

log = logging.getLogger(__name__)

ACCEPT_PAUSE: Final = 1.0
"""Seconds until the next connection is accepted when the system has no more file descriptors."""
ACCEPTED_AT_ONCE: Final = 4
"""Connections that are accepted before others have their turn."""
ACCEPTING_SHARE: Final = 0.15
"""Seconds of accepting for each second."""
ACCEPTING_SAVED: Final = 0.02
"""Seconds of accepting that may be saved up: a thousand connections."""


class NewcomersPace(Protocol):
    """Says what newcomers may take of the process' time."""

    def newcomers_took(self, seconds: float) -> None:
        """Note what work for connections without an association has taken."""

    def newcomers_rest(self) -> float:
        """Return for how many seconds nothing is to be done for those without an association."""


class Entrance(Protocol):
    """Makes a DICOM peer's connection of an accepted socket."""

    async def enter(self, accepted: socket.socket, waiting: Waiting, peer: str, port: int) -> None:
        """Set it up, which may take a TLS handshake; until then it is `waiting`."""


class _Newcomer:
    """A connection in line."""

    __slots__ = ("accepted", "line", "peer", "port", "waiting")

    def __init__(self, accepted: socket.socket, peer: str, port: int) -> None:
        self.accepted = accepted
        self.peer = peer
        self.port = port
        self.line: dict[_Newcomer, None] = {}
        self.waiting: Waiting | None = None

    def close(self) -> None:
        """Go: others need the room."""
        self.line.pop(self, None)
        self.accepted.close()


class FrontDoor:
    """Accepts connections until it is closed.

    Args:
        entrance: lets them in.
        room: of those who wait, in line or behind the entrance.
        pace: of the process.
    """

    def __init__(self, entrance: Entrance, room: WaitingRoom, pace: NewcomersPace) -> None:
        self._entrance = entrance
        self._room = room
        self._pace = pace
        self._quiet = Quiet()
        self._accepting: dict[socket.socket, TimeCredit] = {}
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        self._lines: dict[str, dict[_Newcomer, None]] = {}
        """Who stands in line, by address: the address whose turn it is first."""
        self._next: asyncio.Handle | None = None
        self._entering: dict[asyncio.Task[None], _Newcomer] = {}
        """Not of a task group: those cost as much as the rest of a connection."""
        self.sockets: list[socket.socket] = []
        """Those that are listened on."""

    async def open(self, host: str, port: int, *, backlog: int, reuse_port: bool) -> None:
        """Listen, until `close`.

        Raises:
            OSError: the port is in use, or the address isn't ours.
        """
        opened = await anyio.create_tcp_listener(
            local_host=host, local_port=port, backlog=backlog, reuse_port=reuse_port
        )
        self.sockets = [listener.extra(SocketAttribute.raw_socket) for listener in opened.listeners]
        for listening in self.sockets:
            self._accepting[listening] = TimeCredit(ACCEPTING_SHARE, ACCEPTING_SAVED)
            self._listen(listening)

    def close(self) -> None:
        """Accept no more, and close who stands in line or shakes hands; connections that were let in stay."""
        loop = asyncio.get_running_loop()
        for pause in self._pauses.values():
            pause.cancel()
        for listening in self.sockets:
            loop.remove_reader(listening)
            listening.close()
        if self._next is not None:
            self._next.cancel()
        while (newcomer := self._first_in_line()) is not None:
            if newcomer.waiting is not None:
                newcomer.waiting.lost()
            newcomer.close()
        for task in self._entering:
            task.cancel()

    def _listen(self, listening: socket.socket) -> None:
        self._pauses.pop(listening, None)
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _pause(self, listening: socket.socket, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        self._pauses[listening] = loop.call_later(seconds, self._listen, listening)

    def _accept(self, listening: socket.socket) -> None:
        """Accept some of those who have connected."""
        begun = perf_counter()
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError):
                break
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if self._quiet.untold(error.errno) is not None:
                    log.warning("no connection can be accepted: %s", error.strerror)
                self._pause(listening, ACCEPT_PAUSE)
                return
            try:
                self._line_up(accepted, str(address[0]), int(listening.getsockname()[1]))
            except Exception as error:  # noqa: BLE001 - one connection must not end the others
                report("a new connection", error)
                accepted.close()
        now = perf_counter()
        rest = self._accepting[listening].spend(now, now - begun)
        if rest:
            self._pause(listening, rest)

    def _line_up(self, accepted: socket.socket, peer: str, port: int) -> None:
        """Let a connection stand in line; for a full room, it or another one goes."""
        accepted.setblocking(False)
        newcomer = _Newcomer(accepted, peer, port)
        waiting = newcomer.waiting = self._room.enter(peer, newcomer.close, accepted.fileno)
        if accepted.fileno() < 0:
            return
        newcomer.line = self._lines.setdefault(waiting.address, {})
        newcomer.line[newcomer] = None
        if self._next is None:
            self._next = asyncio.get_running_loop().call_soon(self._let_in)

    def _let_in(self) -> None:
        """Let some in, if it is time for that."""
        self._next = None
        loop = asyncio.get_running_loop()
        rest = self._pace.newcomers_rest()
        if rest:
            self._next = loop.call_later(rest, self._let_in)
            return
        newcomer = self._first_in_line()
        if newcomer is None:
            return
        waiting = newcomer.waiting
        assert waiting is not None
        task = loop.create_task(self._enter(newcomer, waiting))
        waiting.close = partial(_cancel, task)
        self._entering[task] = newcomer
        task.add_done_callback(self._entered)
        self._next = loop.call_soon(self._let_in)

    def _first_in_line(self) -> _Newcomer | None:
        """Take one out of the line of the address whose turn it is; its next turn comes behind those of the others."""
        while self._lines:
            address, line = next(iter(self._lines.items()))
            del self._lines[address]
            if line:
                newcomer = next(iter(line))
                del line[newcomer]
                if line:
                    self._lines[address] = line
                return newcomer
        return None

    def _entered(self, task: asyncio.Task[None]) -> None:
        newcomer = self._entering.pop(task)
        if task.cancelled():
            newcomer.accepted.close()

    async def _enter(self, newcomer: _Newcomer, waiting: Waiting) -> None:
        """Let one in; an error of ours ends this connection, and no other."""
        accepted = newcomer.accepted
        try:
            entering = self._entrance.enter(accepted, waiting, newcomer.peer, newcomer.port)
            await TimedWork(entering, self._pace.newcomers_took)
        except OSError as error:  # there is no descriptor left
            if self._quiet.untold(error.errno) is not None:
                log.warning("a connection from %s is closed: %s", newcomer.peer, error.strerror)
            accepted.close()
        except Exception as error:  # noqa: BLE001 - see above
            report("a new connection", error)
            accepted.close()
        finally:
            waiting.lost()


class PlainEntrance:
    """Lets in without TLS.

    Args:
        connection: makes the protocol of a connection, which waits no more when it stands.
    """

    def __init__(self, connection: Callable[[Waiting], PeerConnection]) -> None:
        self._connection = connection

    async def enter(self, accepted: socket.socket, waiting: Waiting, peer: str, port: int) -> None:  # noqa: ARG002
        """Set the connection up."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                partial(self._connection, waiting), accepted
            )
        except OSError:  # the peer has gone meanwhile
            accepted.close()


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
