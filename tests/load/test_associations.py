"""Many associations: opened in a burst, idle, and one after another. Nothing dropped, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.fault.conftest import TARGET, ground
from tests.fault.fleet import Instance
from tests.load.crowd import Member, host, join, open_files_allowed
from tests.support.exposition import exposition, samples_of
from tests.support.ports import reserve_port

BURST = 1000
KIB = 1024
IDLE_SECONDS = 5.0
CORE_SHARE = 0.05
ALLOCATED_EACH = 100 * KIB
CYCLES = int(os.environ.get("LOAD_CYCLES", "10000"))
"""Associations after whose end nothing may be left."""
WARMING_UP = 5000
"""Associations before memory and files are first looked at."""
AT_ONCE = 50
SETTLING = 20.0
"""Seconds in which what ends later than its association has to end."""
ENDPOINTS = (("hospital", "association"), ("cloud", "scu"))

ResultT = TypeVar("ResultT")


def run(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run `main` to its end, for at most two minutes and 50 ms for each of `CYCLES`."""
    return asyncio.run(asyncio.wait_for(main, 120 + CYCLES / 20))


async def settled(condition: Callable[[], bool], what: str, timeout: float = SETTLING) -> None:
    """Return once `condition()` holds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"still waiting: {what}"
        await asyncio.sleep(0.05)


async def open_burst(port: int, count: int) -> tuple[list[Member], Counter[str]]:
    """Connect and associate `count` clients at once."""
    members = await asyncio.gather(*(join(port) for _ in range(count)))
    answers = await asyncio.gather(*(member.open(TARGET) for member in members))
    return list(members), Counter(answers)


def test_thousand_associations_open_in_a_burst_and_cost_little_when_idle(tmp_path: Path) -> None:
    if not open_files_allowed(4 * BURST):
        pytest.skip("the limit of open files is too low")
    with ground(tmp_path, *ENDPOINTS) as where:
        endpoints = where.fleet.instances

        async def main() -> None:
            async with host(where.target) as crowd:
                warm = await join(where.entry)
                assert await warm.open(TARGET) == "accepted"
                assert await warm.release()
                before = [i.allocated() for i in endpoints]
                began = time.monotonic()
                members, answers = await open_burst(where.entry, BURST)
                took = time.monotonic() - began
                assert answers == {"accepted": BURST}
                assert crowd["open"] == BURST
                each = [(i.allocated() - was) / BURST for i, was in zip(endpoints, before, strict=True)]
                await asyncio.sleep(1)
                cpu = [i.cpu() for i in endpoints]
                await asyncio.sleep(IDLE_SECONDS)
                shares = [(i.cpu() - was) / IDLE_SECONDS for i, was in zip(endpoints, cpu, strict=True)]
                assert all(await asyncio.gather(*(member.echo() for member in members)))
                assert all(await asyncio.gather(*(member.release() for member in members)))
                await settled(lambda: crowd["open"] == 0, "the target's associations end")
                names = [i.service for i in endpoints]
                print(f"\n{BURST} associations opened in {took:.1f} s")
                print("KiB each", {n: round(b / KIB) for n, b in zip(names, each, strict=True)})
                print("share of a core, idle", {n: f"{s:.1%}" for n, s in zip(names, shares, strict=True)})
                assert max(each) < ALLOCATED_EACH
                assert max(shares) < CORE_SHARE

        run(main())


@pytest.mark.parametrize(
    ("hospital", "cloud", "remote"),
    [
        ({"association": {"max_associations": 200}}, None, None),
        (None, {"scu": {"max_associations": 200}}, None),
        (None, None, {"max_associations": 200}),
    ],
    ids=["front-end", "executor", "target"],
)
def test_burst_beyond_a_limit_gets_that_many_and_the_right_reject(
    tmp_path: Path,
    hospital: dict[str, Any] | None,
    cloud: dict[str, Any] | None,
    remote: dict[str, Any] | None,
) -> None:
    with ground(tmp_path, *ENDPOINTS, hospital=hospital, cloud=cloud, remote=remote) as where:

        async def main() -> None:
            async with host(where.target) as crowd:
                members, answers = await open_burst(where.entry, 300)
                assert answers == {"accepted": 200, "rejected 2/3/2": 100}
                assert crowd["open"] == 200
                for member in members:
                    member.close()
                await settled(lambda: crowd["open"] == 0, "the target's associations end")

        run(main())


HELD = (
    "dimse_mesh_tasks",
    "dimse_mesh_nats_subscriptions",
    "dimse_mesh_instances_watched",
    "dimse_mesh_associations_open",
    "dimse_mesh_associations_remembered",
    "dimse_mesh_operations_in_flight",
    "dimse_mesh_unacknowledged_bytes",
    "dimse_mesh_undelivered_bytes",
    "dimse_mesh_associations_held_back",
    "dimse_mesh_associations_stalled",
)
"""The gauges that must go back to what they were."""

Gauges = dict[str, float]


def held_by(port: int) -> Gauges:
    """Return what a process says that it holds."""
    found = {sample.name: sample.value for sample in samples_of(exposition(port))}
    return {name: found[name] for name in HELD}


class Footprint:
    """What a process holds, as the operating system sees it."""

    def __init__(self, instance: Instance) -> None:
        self.files = instance.descriptors()
        self.threads = instance.threads()
        self.allocated = instance.allocated()


def test_associations_one_after_another_leave_nothing_behind(tmp_path: Path) -> None:
    """Of each five one is aborted, one vanishes, one vanishes while it is being opened, two are released."""
    ports = [reserve_port() for _ in ENDPOINTS]
    hospital, cloud = (
        {service: {"artim_timeout": 1.0}, "observability": {"http": {"host": "127.0.0.1", "port": port}}}
        for (_, service), port in zip(ENDPOINTS, ports, strict=True)
    )
    with ground(tmp_path, *ENDPOINTS, hospital=hospital, cloud=cloud) as where:
        endpoints = where.fleet.instances

        async def one(number: int) -> None:
            member = await join(where.entry)
            if number % 5 == 2:
                opening = asyncio.ensure_future(member.open(TARGET))
                await asyncio.sleep(0)
                member.close()
                await opening
                return
            assert await member.open(TARGET) == "accepted"
            assert await member.echo()
            match number % 5:
                case 0:
                    assert await member.release()
                case 1:
                    member.write(bytes.fromhex("07000000000400000000"))
                    await member.pdus.get()
                    member.close()
                case 3:
                    member.close()
                case _:
                    assert await member.release()

        async def cycle(crowd: Counter[str], count: int) -> None:
            numbers = iter(range(count))

            async def worker() -> None:
                for number in numbers:
                    await one(number)

            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
            await settled(lambda: crowd["open"] == 0, "the target's associations end")

        async def main() -> None:
            async with host(where.target) as crowd:
                idle = [held_by(port) for port in ports]
                subscriptions = where.nats.subscriptions()
                assert subscriptions == sum(gauges["dimse_mesh_nats_subscriptions"] for gauges in idle)
                await cycle(crowd, WARMING_UP)
                await held_settles(ports, idle)
                await files_settle(endpoints, [10_000] * len(endpoints))
                await asyncio.sleep(2)
                before = [Footprint(i) for i in endpoints]
                await cycle(crowd, CYCLES)
                await held_settles(ports, idle)
                assert where.nats.subscriptions() == subscriptions
                await files_settle(endpoints, [b.files for b in before])
                after = [Footprint(i) for i in endpoints]
                for instance, gauges, was, now in zip(endpoints, idle, before, after, strict=True):
                    grown = (now.allocated - was.allocated) / 1e6
                    print(f"\n{instance.service}: {was.files} -> {now.files} files, {grown:+.1f} MB")
                    print(
                        {name.removeprefix("dimse_mesh_"): value for name, value in gauges.items() if value}
                    )
                    assert now.files <= was.files
                    assert now.threads <= was.threads
                    assert grown < 3, f"{instance.service} grew by {grown:.1f} MB"

        run(main())


async def held_settles(ports: list[int], as_before: list[Gauges]) -> None:
    """Wait until the processes hold what they held, and nothing more."""
    end = time.monotonic() + SETTLING
    while (now := [held_by(port) for port in ports]) != as_before:
        assert time.monotonic() < end, f"left behind: {now}, was {as_before}"
        await asyncio.sleep(0.2)


async def files_settle(endpoints: list[Instance], at_most: list[int]) -> None:
    """Wait until the processes have closed what they close later."""
    await settled(
        lambda: all(i.descriptors() <= files for i, files in zip(endpoints, at_most, strict=True)),
        "open files go back to what they were",
    )
