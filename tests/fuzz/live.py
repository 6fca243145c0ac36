"""Hostile clients and targets against a running mesh: `python -m tests.fuzz.live [--connections 100000] [--seed N]`.

Two zones of real processes. Hostile clients call a target that is polite, one that is as hostile as they are, and
titles that nobody has; honest ones come and go beside them, through the same front-end and executor.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.honest import Honest
from tests.fuzz.hostile_peers import addresses, evil_target, hostile_client, listen, polite_target
from tests.fuzz.steadiness import Steadiness
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.ports import reserve_port
from tests.support.process import open_files
from tests.support.scripted import Server

AT_ONCE = 48
ADDRESSES = 400
GONE_WITHIN = 60.0
"""Seconds until nothing of the attack is left."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of an attack."""

    sent: int
    seconds: float
    honest: Honest
    complaints: list[str]
    table: str

    def __str__(self) -> str:
        verdict = "held" if not (self.complaints or self.honest.failures) else "FAILED"
        return "\n".join(
            (
                f"{self.sent:,} hostile connections in {self.seconds:,.0f} s: {verdict}",
                f"{self.honest.served:,} honest associations, {len(self.honest.failures)} failed, "
                f"the slowest took {self.honest.slowest:.2f} s",
                self.table,
                *self.complaints,
                *self.honest.failures,
            )
        )


def attack(directory: Path, connections: int, seed: int) -> Outcome:
    """Attack a mesh of its own with so many connections."""
    aes = {title: Ae(title, reserve_port(), "cloud") for title in ("ARCHIVE", "SINK", "EVIL")}
    hospital = zone_config("hospital", listener=reserve_port())
    cloud = zone_config("cloud", remote_aes=list(aes.values()))
    with (
        Mesh.start(directory, [hospital, cloud]) as mesh,
        Server(port=aes["ARCHIVE"].port, timeout=120),
        Honest(mesh.listeners["hospital"], "ARCHIVE") as honest,
    ):
        steady = Steadiness(mesh.pids(), [mesh.log])
        steady.begin()
        began = time.monotonic()
        asyncio.run(_attack(mesh.listeners["hospital"], aes, connections, seed, steady))
        seconds = time.monotonic() - began
        complaints = steady.complaints(mesh.pids()) + _left_behind(mesh, steady)
        table = steady.table()
    return Outcome(connections, seconds, honest, complaints, table)


async def _attack(port: int, aes: dict[str, Ae], connections: int, seed: int, steady: Steadiness) -> None:
    polite = await listen(aes["SINK"].port, polite_target)
    evil = await listen(aes["EVIL"].port, evil_target(random.Random(seed)))
    numbers, origins = iter(range(connections)), addresses(ADDRESSES)

    async def one_after_the_other() -> None:
        for number in numbers:
            if number == connections // 5:
                steady.settled()
            await hostile_client(port, origins[number % ADDRESSES], random.Random(seed * 1_000_003 + number))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(one_after_the_other())
    for server in (polite, evil):
        server.close()


def _left_behind(mesh: Mesh, steady: Steadiness) -> list[str]:
    """Wait until connections of the attack are gone; return what stays."""
    until = time.monotonic() + GONE_WITHIN
    while True:
        more = {name: open_files(pid) - steady.descriptors[name] for name, pid in mesh.pids().items()}
        kept = {name: count for name, count in more.items() if count > 10}
        if not kept or time.monotonic() > until:
            return [f"{name} has {count} more files open than before" for name, count in kept.items()]
        time.sleep(0.2)


def main() -> int:
    """Attack, print, and return 1 if something fell."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.live", description=__doc__)
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    given = parser.parse_args()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of each peer that is gone
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-live-") as directory:
        outcome = attack(Path(directory), given.connections, given.seed)
    print(outcome)
    return int(bool(outcome.complaints or outcome.honest.failures))


if __name__ == "__main__":
    sys.exit(main())
