"""Hostile messages to every service on subjects that the sender may publish to, on a real nats-server with permissions.

    python -m tests.fuzz.bus [--messages 100000] [--seed N]

A hospital with a front-end, all handlers and a durable route, a cloud with an executor and a delivery service, and a
lab whose keys were stolen, all of them; so were those of the hospital's front-end and of the cloud's executor. Honest
clients store and verify all the while.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dimse_mesh.nats_server.permissions import meeting, permissions_of
from dimse_mesh.schemas.addresses import Role
from tests.fault.fleet import Fleet, fleet
from tests.fuzz.honest import Honest, HonestDurable
from tests.fuzz.hostile_messages import Overheard, hostile_messages, overheard
from tests.fuzz.raw_user import RawUser
from tests.fuzz.steadiness import Steadiness
from tests.support.mesh import Ae, zone_config
from tests.support.nats import NatsServer, nats_server
from tests.support.permitted import Bus
from tests.support.ports import reserve_port
from tests.support.process import wait_until
from tests.support.scripted import Server
from tests.support.tap import Tap

ROOT = "DIMSE"
INSTANCES = (
    *(("hospital", service) for service in ("association", "store", "query-retrieve", "n-service")),
    ("cloud", "scu"),
    ("cloud", "delivery"),
)
STOLEN = (
    *(("lab", role) for role in Role),
    ("hospital", Role.ASSOCIATION),
    ("hospital", Role.COMMAND),
    ("cloud", Role.SCU),
)
NOT_THE_MESH = ("$JS.", "$SRV", "_INBOX", "_EVENTS")
"""What belongs to JetStream and to tools."""
BURST = 250
ARRIVE_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the attack takes place."""

    fleet: Fleet
    nats: NatsServer
    bus: Bus
    entry: int
    targets: dict[str, Ae]


@dataclass(slots=True)
class Outcome:
    """What has become of an attack."""

    sent: int
    permitted: int
    seconds: float
    honest: Honest
    durable: HonestDurable
    table: str
    dropped: set[str]
    """What the services say that they have dropped: the message, and its sender's role and zone."""
    complaints: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """What is not as it should be."""
        return [*self.complaints, *self.honest.failures, *self.durable.failures]

    def __str__(self) -> str:
        return "\n".join(
            (
                f"{self.sent:,} hostile messages, {self.permitted:,} of them permitted, in {self.seconds:,.0f} s: "
                f"{'FAILED' if self.failures else 'held'}",
                f"{self.honest.served:,} honest associations, {len(self.honest.failures)} failed, "
                f"the slowest took {self.honest.slowest:.2f} s",
                f"{self.durable.stored:,} objects stored by the durable route, {self.durable.missing} not delivered",
                f"{len(self.dropped)} kinds of messages, by what is wrong and who sends it, were dropped with a line",
                self.table,
                *self.failures,
            )
        )


@contextmanager
def ground(directory: Path) -> Iterator[Ground]:
    """Start the nats-server and the services."""
    targets = {title: Ae(title, reserve_port(), "cloud") for title in ("ARCHIVE", "KEPT", "SINK")}
    routes: list[dict[str, Any]] = [{"called": "KEPT", "to": {"ae": "KEPT"}, "delivery": "durable"}]
    configs = [
        zone_config("hospital", listener=(entry := reserve_port()), routes=routes),
        zone_config("cloud", remote_aes=list(targets.values())),
        zone_config("lab"),
    ]
    bus = Bus.of(directory / "bus", configs)
    with (
        nats_server(directory / "nats", config=bus.one_server()) as nats,
        fleet(directory / "fleet") as instances,
    ):
        for config in configs:
            instances.zone(config, bus.access(config["zone"], nats.url))
        instances.start_all(*INSTANCES)
        yield Ground(instances, nats, bus, entry, targets)


def attack(directory: Path, messages: int, seed: int) -> Outcome:
    """Attack a mesh of its own with so many messages."""
    with ground(directory) as where:
        ports = {title: ae.port for title, ae in where.targets.items()}
        kept, sink = (Server(port=ports[title], timeout=120) for title in ("KEPT", "SINK"))
        try:
            with Server(port=ports["ARCHIVE"], timeout=120):
                return _attack(where, kept, messages, random.Random(seed))
        finally:
            for server in (
                kept,
                sink,
            ):  # the delivery service keeps its association, and hostile ones end anyhow
                server.stop(check=False)


def _attack(where: Ground, kept: Server, messages: int, rng: random.Random) -> Outcome:
    with (
        Honest(where.entry, "ARCHIVE") as honest,
        HonestDurable(where.entry, "KEPT", kept) as durable,
    ):
        wait_until(lambda: honest.served > 1 and durable.stored > 0, "honest clients are served", timeout=60)
        with Tap(where.nats.port) as tap:
            seen = honest.served
            wait_until(lambda: honest.served > seen + 2, "honest clients are heard", timeout=60)
            known = overheard(tap.messages, ROOT)
        pids = {f"{one.zone}/{one.service}": one.pid for one in where.fleet.instances}
        steady = Steadiness(
            {**pids, "nats-server": where.nats.pid}, [one.child.log for one in where.fleet.instances]
        )
        steady.begin()
        began = time.monotonic()
        sent, refused = _send(where, known, messages, rng, steady)
        seconds = time.monotonic() - began
        seen = honest.served
        wait_until(
            lambda: bool(honest.failures) or honest.served > seen + 2, "honest ones after it", timeout=60
        )
    missing_until = time.monotonic() + ARRIVE_WITHIN
    while durable.missing and time.monotonic() < missing_until:
        time.sleep(0.2)
    now = {
        f"{one.zone}/{one.service}": one.pid for one in where.fleet.instances if one.child.returncode is None
    }
    complaints = steady.complaints({**now, "nats-server": where.nats.pid})
    if durable.missing:
        complaints.append(f"{durable.missing} objects of the durable route are missing")
    dropped = {
        found[1]
        for one in where.fleet.instances
        for found in re.finditer(r'event="(dropped [^"]*)"', one.child.log.read_text(errors="replace"))
    }
    return Outcome(sent, sent - refused, seconds, honest, durable, steady.table(), dropped, complaints)


def _send(
    where: Ground, known: Overheard, messages: int, rng: random.Random, steady: Steadiness
) -> tuple[int, int]:
    """Send messages as each of the users whose keys were stolen; return how many, and how many were refused."""
    facts = {one.zone: one for one in meeting(where.bus.zones)}
    sent = refused = 0
    users = []
    for zone, role in STOLEN:
        permitted = permissions_of(facts[zone], role).publish
        patterns = [one for one in permitted if not one.startswith(NOT_THE_MESH)]
        made = hostile_messages(patterns, known, rng, inbox=f"{ROOT}.i.{zone}.{role}.evil.inbox.x")
        users.append((where.bus.keys.file(zone, role.value), made))
    turns = itertools.cycle(users)
    while sent < messages:
        seed, made = next(turns)
        with RawUser(where.nats.port, seed) as user:
            user.publish(itertools.islice(made, min(BURST, messages - sent)))
        sent += min(BURST, messages - sent)
        refused += user.refused
        if sent >= messages // 5 > sent - BURST:
            steady.settled()
    return sent, refused


def main() -> int:
    """Attack, print, and return 1 if something fell."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.bus", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-bus-") as directory:
        outcome = attack(Path(directory), given.messages, given.seed)
    print(outcome)
    return int(bool(outcome.failures))


if __name__ == "__main__":
    sys.exit(main())
