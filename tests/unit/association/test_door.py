"""Who is accepted when, and who is let in: in the order of the addresses, not of the connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress
from typing import Any

from dimse_mesh.association.door import FrontDoor
from dimse_mesh.association.waiting import Waiting, WaitingRoom
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.runtime.settings_limits import AssociationLimits

PATIENCE = 20.0


class Pace:
    """Lets newcomers in while it has permits."""

    def __init__(self, permits: int = 1 << 30) -> None:
        self.permits = permits
        self.took = 0.0

    def newcomers_took(self, seconds: float) -> None:
        self.took += seconds

    def newcomers_rest(self) -> float:
        if self.permits:
            self.permits -= 1
            return 0.0
        return 0.01


class Inside:
    """An entrance behind which connections are held."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.held: list[socket.socket] = []

    async def enter(self, accepted: socket.socket, waiting: Waiting, peer: str, port: int) -> None:  # noqa: ARG002
        self.entered.append(peer)
        self.held.append(accepted)

    def close(self) -> None:
        for held in self.held:
            held.close()


def run(
    test: Callable[[FrontDoor, int], Coroutine[Any, Any, None]],
    entrance: Any,
    pace: Pace,
    limits: AssociationLimits | None = None,
) -> WaitingRoom:
    room = WaitingRoom(limits or AssociationLimits(), Counters(), taken=lambda: 0, descriptors=10_000)

    async def main() -> None:
        door = FrontDoor(entrance, room, pace)
        await door.open("127.0.0.1", 0, backlog=1024, reuse_port=False)
        try:
            await asyncio.wait_for(test(door, door.sockets[0].getsockname()[1]), PATIENCE)
        finally:
            door.close()
            await asyncio.sleep(0)

    asyncio.run(main())
    return room


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10, (source, 0))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - sockets tell no event
        await asyncio.sleep(0.005)


def in_line(door: FrontDoor) -> int:
    return sum(len(line) for line in door._lines.values())


def test_an_address_with_hundreds_in_line_does_not_keep_another_one_waiting() -> None:
    inside, pace = Inside(), Pace(permits=0)

    async def test(door: FrontDoor, port: int) -> None:
        with ExitStack() as opened:
            for _number in range(300):
                opened.enter_context(connect(port, "127.0.0.2"))
            opened.enter_context(connect(port, "127.0.0.3"))
            await until(lambda: in_line(door) == 301)
            pace.permits = 4
            await until(lambda: len(inside.entered) == 4)
            assert "127.0.0.3" in inside.entered[:2]
            assert inside.entered.count("127.0.0.2") == 3

    run(test, inside, pace)
    inside.close()


def test_nobody_is_let_in_while_newcomers_have_to_rest_and_everybody_is_after_it() -> None:
    inside, pace = Inside(), Pace(permits=0)

    async def test(_: FrontDoor, port: int) -> None:
        with ExitStack() as opened:
            for _number in range(50):
                opened.enter_context(connect(port))
            await asyncio.sleep(0.05)
            assert inside.entered == []
            pace.permits = 1 << 30
            await until(lambda: len(inside.entered) == 50)

    room = run(test, inside, pace)
    inside.close()
    assert pace.took > 0
    assert room.count == 0


def test_connections_in_line_go_when_the_room_is_full_and_when_the_door_is_closed() -> None:
    inside = Inside()

    async def test(_: FrontDoor, port: int) -> None:
        with ExitStack() as opened:
            clients = [opened.enter_context(connect(port)) for _number in range(20)]
            await until(lambda: sum(map(closed, clients)) == 12)
        with ExitStack() as opened:
            for _number in range(8):
                opened.enter_context(connect(port))

    room = run(test, inside, Pace(permits=0), AssociationLimits(waiting=8))
    assert inside.entered == []
    assert room.count == 0


def closed(client: socket.socket) -> bool:
    client.setblocking(False)
    with suppress(BlockingIOError):
        try:
            return client.recv(1) == b""
        except ConnectionError:
            return True
    return False


def test_an_error_of_ours_ends_one_connection() -> None:
    class Broken(Inside):
        async def enter(self, accepted: socket.socket, waiting: Waiting, peer: str, port: int) -> None:
            await super().enter(accepted, waiting, peer, port)
            if len(self.entered) == 1:
                raise RuntimeError("broken")

    broken = Broken()

    async def test(_: FrontDoor, port: int) -> None:
        with connect(port) as first, connect(port) as second:
            await until(lambda: len(broken.entered) == 2)
            await until(lambda: closed(first))
            assert not closed(second)

    room = run(test, broken, Pace())
    broken.close()
    assert room.count == 0


def test_a_handshake_that_has_to_go_is_cancelled() -> None:
    cancelled = []

    class Stalling:
        async def enter(self, accepted: socket.socket, waiting: Waiting, peer: str, port: int) -> None:  # noqa: ARG002
            try:
                await asyncio.sleep(PATIENCE)
            except asyncio.CancelledError:
                cancelled.append(peer)
                raise
            finally:
                accepted.close()

    async def test(door: FrontDoor, port: int) -> None:
        with ExitStack() as opened:
            clients = [opened.enter_context(connect(port)) for _number in range(10)]
            await until(lambda: sum(map(closed, clients)) == 2)
            await until(lambda: in_line(door) == 0)
            assert len(cancelled) <= 2

    room = run(test, Stalling(), Pace(), AssociationLimits(waiting=8))
    assert room.count == 0
    assert len(cancelled) >= 8, "the others when the door was closed"
