"""Minutes of mixed load with random faults: `python -m tests.fault.soak`. Prints the tables of docs/reliability.md.

Two zones, each with a nats-server of its own and a leaf link between them; two instances of each service that may be
killed. With `--hosted` the front-ends host the handlers. Clients store, find, retrieve, have sent to a viewer beside
them, report procedure steps, ask for storage commitment, and verify; the target and the viewer keep books of what they
received.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fault.archive import CONTEXTS, Answer, archive
from tests.fault.clients import echo_study, find_study, get_study, store_study
from tests.fault.conftest import HOSTED, TARGET, Ground, each, split_ground
from tests.fault.faults import HOSTING_PAIRS, PAIRS, Faults
from tests.fault.ledger import Ledger
from tests.fault.load import at_work
from tests.fault.long_operations import Large
from tests.fault.moves import MOVE_CONTEXT, MOVED, VIEWER, Mover, move_study
from tests.fault.normalised import N_CONTEXTS, answers, commitment_study, step_study
from tests.fault.relay import Relay
from tests.fault.report import Report, Row, footprint, footprint_after
from tests.support.ports import reserve_port
from tests.support.wire import Command

CLIENTS = 4
WAY_BACK = (("cloud", "association"), ("cloud", "store"), ("hospital", "scu"))
"""For what a C-MOVE sends."""
STUDIES = (
    store_study(),
    store_study((8_000,) * 10),
    store_study((5_000_000,)),
    find_study(1000),
    get_study(),
    move_study(),
    step_study(),
    commitment_study(),
    echo_study(),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs but clients and faults."""

    where: Ground
    relay: Relay
    ledger: Ledger
    pairs: Mapping[str, str]
    """Services of which there are two instances, and in which zone."""


@contextmanager
def soaking(directory: Path, *, hosted: bool) -> Iterator[Stage]:
    """Run two zones, the target and the viewer; at the end nobody may be left with an association."""
    ledger, pairs = Ledger(), HOSTING_PAIRS if hosted else PAIRS
    services = [instance for service, zone in pairs.items() for instance in each(service, 2, zone)]
    services += WAY_BACK
    viewer, back = reserve_port(), reserve_port()
    hospital = {
        "association": {"reuse_port": True, "hosted_handlers": HOSTED if hosted else []},
        "scu": {"remote_aes": [{"ae_title": VIEWER, "host": "127.0.0.1", "port": viewer}]},
    }
    cloud = {"association": {"listeners": [{"host": "127.0.0.1", "port": back}]}}
    more: dict[int, Answer] = {Command.C_MOVE: Mover(ledger, back), **answers(ledger)}
    with split_ground(directory, *services, hospital=hospital, cloud=cloud) as (where, relay):
        servers = [
            archive(where.target, ledger, more=more)[1],
            archive(viewer, ledger, stores=MOVED)[1],
        ]
        try:
            yield Stage(where, relay, ledger, pairs)
            for server in servers:
                try:
                    server.join()
                except Exception as error:  # noqa: BLE001 - whatever a script raised: the report shall tell
                    ledger.failed(f"target or viewer: {type(error).__name__}: {error}")
        finally:
            for server in servers:
                server.stop(check=False)


def soak(
    directory: Path,
    *,
    rounds: int,
    seconds: float,
    large: int = 0,
    only: str = "",
    hosted: bool = False,
    seed: int = 1,
    say: Callable[[str], None] = print,
) -> Report:
    """Try every kind of fault `rounds` times, for at most `seconds`; then `large` times those in long operations.

    Ctrl-C or SIGTERM ends it, and the report tells what was done.

    Args:
        hosted: let the front-ends host the handlers.
    """
    began = time.monotonic()
    with soaking(directory, hosted=hosted) as stage:
        where, ledger = stage.where, stage.ledger
        faults = Faults(
            where, stage.relay, ledger, dice=random.Random(seed), pairs=stage.pairs, clients=CLIENTS
        )
        faults.only(only)
        before = footprint(where)
        rows = faults.rows
        load = at_work(
            where.entry,
            called=TARGET,
            ledger=ledger,
            clients=CLIENTS,
            studies=STUDIES,
            contexts=(*CONTEXTS, MOVE_CONTEXT, *N_CONTEXTS),
            timeout=60,
            pause=0.05,
        )
        with contextlib.suppress(KeyboardInterrupt):
            with load:
                faults.wait_for_clients()
                for number, row in _rounds(faults, rounds, until=began + seconds):
                    say(
                        f"{time.monotonic() - began:6.1f} s  round {number}/{rounds}  {row.what}: "
                        f"recovered in {row.recovery[-1]:.1f} s"
                        + (f", {row.ended.aborted} aborted so far" if row.ended.aborted else "")
                        + (f", {row.ended.failed} FAILED: {ledger.failures[-1]}" if row.ended.failed else "")
                    )
            for row in Large(where, stage.relay, ledger).rows(large) if large else ():
                say(f"{time.monotonic() - began:6.1f} s  {row.what}")
                rows.append(row)
        after = footprint_after(where, before)
    return Report(rows, ledger, before, after, time.monotonic() - began)


def _rounds(faults: Faults, rounds: int, *, until: float) -> Iterator[tuple[int, Row]]:
    """Yield the number of the round and the row of each fault that was tried, until that moment."""
    for number in range(1, rounds + 1):
        for row in faults.round():
            yield number, row
            if time.monotonic() > until:
                return


def main() -> int:
    """Run from the command line; exit code 1 if the books don't balance."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="how often each fault is tried (default 50)")
    parser.add_argument("--large", type=int, default=50, help="the same for long operations (default 50)")
    parser.add_argument(
        "--only", default="", help="only faults under mixed load whose name holds these words"
    )
    parser.add_argument("--hosted", action="store_true", help="let the front-ends host the handlers")
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop after so long")
    parser.add_argument("--seed", type=int, default=1, help="of the dice that choose faults and moments")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="dimse-mesh-soak-") as directory:
        report = soak(
            Path(directory),
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            large=arguments.large,
            only=arguments.only,
            hosted=arguments.hosted,
            seed=arguments.seed,
        )
    print("", report, sep="\n")
    try:
        report.check()
    except AssertionError as error:
        print(f"\nFAILED: {error}")
        print(*report.ledger.failures[:20], sep="\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
