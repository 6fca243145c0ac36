"""The window of a path: what arrives in a second may be under way, and who would send more takes turns."""

from __future__ import annotations

import asyncio

from dimse_mesh.schemas.frames import FrameKind
from dimse_mesh.streams.congestion import CongestionWindow, CongestionWindows
from dimse_mesh.streams.inbound import Arrival, Inbound
from dimse_mesh.streams.outbound import Budget, Outbound
from tests.support.bus import address
from tests.unit.endpoint.virtual_time import run

KIB = 1024
SMALLEST = 256 * KIB
CHUNK = 64 * KIB
BUSY = address("busy")


class Reader:
    """A link that always has something to send."""

    def __init__(self, path: CongestionWindow) -> None:
        self.path = path
        self.reading = False
        self.turns = 0

    def regulate(self, *, waited: bool = False) -> None:
        """As `Source`."""
        if self.path.full or (self.path.contended and not waited):
            self.reading = False
            self.path.wait(self)
        else:
            self.turns += not self.reading
            self.reading = True
            self.path.reads(self)


async def carry(path: CongestionWindow, size: int, seconds: float) -> None:
    """Send `size` bytes, which arrive together."""
    path.sent(size)
    await asyncio.sleep(seconds)
    path.arrived(size)


def test_the_window_is_what_arrives_in_a_second() -> None:
    async def main() -> None:
        path = CongestionWindow(asyncio.get_running_loop())
        assert path.window == SMALLEST
        await carry(path, 1000 * KIB, 0.1)
        assert abs(path.window - 10_000 * KIB) < KIB
        await carry(path, 8000 * KIB, 4.0)
        assert abs(path.window - 2000 * KIB) < KIB
        await carry(path, 100, 60.0)
        assert path.window == SMALLEST

    run(main())


def test_a_quick_round_with_little_in_it_says_nothing_about_the_window() -> None:
    async def main() -> None:
        path = CongestionWindow(asyncio.get_running_loop())
        await carry(path, 1000 * KIB, 0.1)
        window = path.window
        await carry(path, 100, 0.9)
        assert path.window == window

    run(main())


def test_a_round_lasts_until_all_that_was_under_way_has_arrived() -> None:
    async def main() -> None:
        path = CongestionWindow(asyncio.get_running_loop())
        path.sent(100)
        path.sent(4 * SMALLEST)
        await asyncio.sleep(0.01)
        path.arrived(100)  # ends the first round
        assert path.window == SMALLEST
        path.sent(100)
        await asyncio.sleep(0.25)
        path.arrived(2 * SMALLEST)
        assert path.window == SMALLEST
        await asyncio.sleep(0.25)
        path.arrived(2 * SMALLEST + 100)
        assert path.under_way == 0
        assert path.window == 2 * (4 * SMALLEST + 100)

    run(main())


def test_all_who_read_stop_when_it_is_full_and_take_turns() -> None:
    async def main() -> None:
        path = CongestionWindow(asyncio.get_running_loop())
        readers = [Reader(path) for _ in range(12)]
        for reader in readers:
            reader.regulate()
        assert all(reader.reading for reader in readers)
        path.sent(path.window)
        assert not any(reader.reading for reader in readers)
        order = []
        for _ in range(24):
            await asyncio.sleep(CHUNK / SMALLEST)
            path.arrived(CHUNK)
            path.let_read()
            (reader_now,) = [reader for reader in readers if reader.reading]
            order.append(reader_now)
            path.sent(CHUNK)
        assert order == readers * 2

    run(main())


def test_who_has_nothing_to_send_does_not_use_up_the_turn_of_others() -> None:
    async def main() -> None:
        path = CongestionWindow(asyncio.get_running_loop())
        readers = [Reader(path) for _ in range(50)]
        for reader in readers:
            reader.regulate()
        path.sent(path.window)
        path.arrived(CHUNK)  # and nothing more for a while: everybody is asked in time
        await asyncio.sleep(50 * 0.05 + 0.1)
        assert all(reader.turns == 2 for reader in readers)

    run(main())


def test_who_has_left_gets_no_turn() -> None:
    async def main() -> None:
        path = CongestionWindow(asyncio.get_running_loop())
        stays, leaves = Reader(path), Reader(path)
        for reader in (leaves, stays):
            reader.regulate()
        path.sent(path.window)
        path.leave(leaves)
        assert not path.idle
        path.arrived(path.window)
        await asyncio.sleep(1)
        assert stays.reading
        assert not leaves.reading
        path.leave(stays)
        assert path.idle

    run(main())


def test_paths_that_nothing_uses_are_forgotten_in_the_end() -> None:
    async def main() -> None:
        paths = CongestionWindows(asyncio.get_running_loop())
        busy = paths.to(BUSY)
        busy.sent(1)
        for number in range(10_000):
            paths.to(address(f"instance-{number}"))
        assert paths.to(BUSY) is busy
        assert len(paths._by_instance) <= CongestionWindows._REMEMBERED + 1
        paths.forget(BUSY)
        assert paths.to(BUSY) is not busy

    run(main())


def test_the_line_holds_what_arrives_in_its_shortest_round_trip() -> None:
    async def main() -> None:
        path = CongestionWindow(asyncio.get_running_loop())
        await carry(path, 100 * KIB, 0.1)
        assert abs(path.line - 2 * 100 * KIB) < KIB
        await carry(path, 8000 * KIB, 0.1)
        assert abs(path.line - 2 * 8000 * KIB) < KIB
        await carry(path, 8000 * KIB, 0.4)  # it waited in a queue: no reason for more
        assert abs(path.line - 2 * 8000 * KIB) < KIB
        await carry(path, 100, 0.001)  # a neighbour, after all
        assert abs(path.line - 2 * 80 * KIB) < KIB
        await asyncio.sleep(20)
        await carry(path, 100 * KIB, 0.1)
        assert path.line < 10 * KIB, "the rate of long ago is forgotten"

    run(main())


def test_a_line_that_has_become_longer_is_found_out() -> None:
    async def main() -> None:
        path = CongestionWindow(asyncio.get_running_loop())
        await carry(path, 100 * KIB, 0.001)
        for _ in range(1500):
            await carry(path, 1000 * KIB, 0.1)
        assert abs(path.line - 2 * 1000 * KIB) < KIB

    run(main())


def test_a_link_has_more_than_usual_in_flight_on_a_long_line_alone_and_never_more_than_granted() -> None:
    async def main() -> None:
        path = CongestionWindow(asyncio.get_running_loop())
        outbound = Outbound(1000 * KIB, Budget(1 << 30))
        assert outbound.window == 0
        outbound.open(5000 * KIB, path)
        assert outbound.window == 1000 * KIB
        await carry(path, 1000 * KIB, 0.1)
        assert abs(outbound.window - 2 * 1000 * KIB) < KIB
        await carry(path, 8000 * KIB, 0.1)
        assert outbound.window == 5000 * KIB
        outbound.open(100 * KIB, path)
        assert outbound.window == 100 * KIB

    run(main())


def test_the_first_bytes_are_acknowledged_soon() -> None:
    inbound = Inbound(1 << 30, slack=0, owing=1000 * KIB)
    told = []
    for number in range(100):
        inbound.accept(Arrival(number * 32 * KIB, 32 * KIB, FrameKind.DATA, 0, 0, memoryview(b"")))
        inbound.consumed_next()
        if inbound.must_acknowledge:
            told.append(inbound.take_acknowledgement() // KIB)
    assert told == [64, 128, 256, 512, 1024, 2048, 3072]


def test_one_that_raises_when_it_may_read_keeps_no_other_from_its_turn() -> None:
    class Broken(Reader):
        def regulate(self, *, waited: bool = False) -> None:
            if waited:
                raise KeyError("regulate")
            super().regulate(waited=waited)

    async def main() -> None:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        path = CongestionWindow(asyncio.get_running_loop())
        path.sent(path.window)
        broken, reader = Broken(path), Reader(path)
        broken.regulate()
        reader.regulate()
        path.arrived(SMALLEST)
        await asyncio.sleep(10)
        assert [type(error) for error in told] == [KeyError]
        assert reader.reading

    run(main())
