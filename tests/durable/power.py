"""The power fails while a client stores: what was not flushed is gone, and what is left is delivered."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.durable.disks import Disk, disk
from tests.durable.modality import Modality
from tests.durable.site import Inbox, Site, site, store
from tests.support.files import synthetic
from tests.support.nats import NatsServer
from tests.support.ports import reserve_port

DISK_MEGABYTES = 400
SPOOL = {"spool": {"max_bytes": 200 << 20}}
MOST_OBJECTS = 40
"""Objects that are acknowledged before the power fails, at most."""
LAST = "LAST"
"""Calling AE title of an object that is stored when the power is back: it is delivered behind all that was there."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What became of what was acknowledged before one power failure."""

    acknowledged: int
    delivered_before: int
    lost: int
    damaged: int
    again: int
    in_order: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What became of it in some power failures under one setting of nats-server."""

    setting: str
    failures: Sequence[Failure]

    def __str__(self) -> str:
        """Return a row of the table in docs/delivery.md."""
        figures = [
            len(self.failures),
            *(
                sum(getattr(one, name) for one in self.failures)
                for name in ("acknowledged", "delivered_before", "lost", "damaged", "again")
            ),
            sum(not one.in_order for one in self.failures),
        ]
        return f"| {self.setting} | {' | '.join(map(str, figures))} |"

    def check(self) -> None:
        """Assert that nothing was lost, damaged or out of order."""
        wrong = [one for one in self.failures if one.lost or one.damaged or not one.in_order]
        assert not wrong, f"{len(wrong)} of {len(self.failures)} power failures did harm: {wrong[:3]}"
        assert all(one.acknowledged for one in self.failures)


HEADER = (
    "| fsync | power failures | acknowledged | of them delivered before | lost | damaged "
    "| delivered twice | out of order |\n|---|--:|--:|--:|--:|--:|--:|--:|"
)


@contextmanager
def powered(ground: Path, store_on: Disk, *, port: int, embedded: bool) -> Iterator[tuple[Site, int]]:
    """Run the two zones with the spool on that disk; yield them, and nats-server's pid.

    Args:
        embedded: nats-server as `dimse-mesh up` has it; else one with its own defaults.
    """
    with ExitStack() as stack:
        if embedded:
            data = ground / "data"
            data.unlink(missing_ok=True)
            data.symlink_to(store_on.mounted)
            where = stack.enter_context(site(ground, hospital=SPOOL, port=port))
            yield where, where.mesh.pids()["nats-server"]
        else:
            server = NatsServer(store_on.mounted / "nats")
            server.start()
            stack.callback(server.kill)
            yield stack.enter_context(site(ground, hospital=SPOOL, port=port, nats=server)), server.pid


def power_failure(
    ground: Path,
    store_on: Disk,
    survived: Path,
    dice: random.Random,
    *,
    embedded: bool,
    away: bool,
    study: int,
) -> tuple[Disk, Failure]:
    """Store on a disk, cut the power, deliver from what is left; return the new disk, mounted, and what came of it.

    The destination is there in half of the cases, then the spool is emptied while it is filled; never if it is `away`.
    """
    ground.mkdir()
    inbox, port = Inbox(), reserve_port()
    with powered(ground, store_on, port=port, embedded=embedded) as (where, pid), ExitStack() as stack:
        if dice.random() < 0.5 and not away:
            stack.enter_context(where.destination(inbox))
        with Modality(where, "CT1", study) as modality:
            enough = dice.randrange(1, MOST_OBJECTS)
            where.wait_until(partial(modality.has_more_than, enough), "objects are acknowledged")
            os.kill(pid, signal.SIGSTOP)
            left = store_on.copy(survived)
            for each in [where.mesh.child.pid, *where.mesh.pids().values(), pid]:
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
    before = set(inbox.instances)
    store_on.unmount()
    left.mount()
    last = synthetic(study, 1000, study=999_999)  # another one each time: a former one may have come back
    with powered(ground, left, port=port, embedded=embedded) as (where, _), where.destination(inbox):
        with where.open(calling=LAST) as client:
            assert store(client, last) == 0
            client.release()
        where.wait_until(lambda: last.sop_instance in inbox.instances, "what is left is delivered")
    return left, outcome(inbox, modality, before)


def outcome(inbox: Inbox, modality: Modality, before: set[str]) -> Failure:
    """Compare what arrived with what was acknowledged."""
    safe = {content.sop_instance: content.data for content in modality.acknowledged}
    arrived = [got for got in inbox.objects if got.instance in safe]
    firsts = list(dict.fromkeys(got.instance for got in arrived))
    return Failure(
        acknowledged=len(safe),
        delivered_before=len(before & safe.keys()),
        lost=len(safe.keys() - set(firsts)),
        damaged=sum(got.data != safe[got.instance] for got in arrived),
        again=len(arrived) - len(firsts),
        in_order=firsts == [uid for uid in safe if uid in set(firsts)],
    )


def power_failures(
    directory: Path, count: int, *, embedded: bool, away: bool = False, seed: int = 1
) -> Report:
    """Let the power fail so often, each time on what the time before has left; `away`: the destination always is."""
    dice = random.Random(seed)
    failures = []
    directory.mkdir(exist_ok=True)
    with disk(directory, DISK_MEGABYTES) as first:
        current = first
        try:
            for number in range(1, count + 1):
                before, survived = current, directory / f"survived{number}.img"
                current, failure = power_failure(
                    directory / f"round{number}",
                    current,
                    survived,
                    dice,
                    embedded=embedded,
                    away=away,
                    study=number,
                )
                failures.append(failure)
                before.image.unlink()
        finally:
            current.unmount()
    return Report("each write (embedded default)" if embedded else "nats-server's default", failures)
