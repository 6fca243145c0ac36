"""What every part needs: sites, a destination that can be stopped, ways to it, and how figures are judged."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import measure
from tests.bench.ways import COUNTED
from tests.bench.workload import Workload
from tests.support import dcmtk
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.nats import NatsServer
from tests.support.ports import reserve_port
from tests.support.process import Child, wait_until
from tests.support.wire import CT_STORAGE, EXPLICIT_LE

PATIENCE = 1800.0
SPOOL_BYTES = 4 << 30
"""For each destination: JetStream reserves it on the disk."""
LIVE, DOWN = "LIVE", "DOWN"
ACCEPTS = [{"sop_class": CT_STORAGE, "transfer_syntaxes": [EXPLICIT_LE]}]
QUIET: dict[str, Any] = {"observability": {"log_level": "warning", "tracing_ratio": 0.1}}


def spread(figures: Sequence[float], unit: str = "") -> str:
    """Return median and range."""
    return f"{statistics.median(figures):.2f}{unit} ({min(figures):.2f} - {max(figures):.2f})"


def times(theirs: Sequence[float], ours: Sequence[float]) -> list[float]:
    """Return how many times faster we were, in each round."""
    return [other / own for other, own in zip(theirs, ours, strict=True)]


@dataclass(slots=True)
class Verdicts:
    """Figures against what they must be."""

    broken: int = 0
    _lines: list[str] = field(default_factory=list)

    def at_least(self, what: str, figures: Sequence[float], must: float) -> None:
        """Note whether the median is at least that."""
        self._note(statistics.median(figures) >= must, f"{what}: {spread(figures)}, at least {must:g}")

    def at_most(self, what: str, figures: Sequence[float], must: float, unit: str = "") -> None:
        """Note whether the median is at most that."""
        held = statistics.median(figures) <= must
        self._note(held, f"{what}: {spread(figures, unit)}, at most {must:g}{unit}")

    def _note(self, held: bool, text: str) -> None:
        self.broken += not held
        self._lines.append(f"{'ok    ' if held else 'BROKEN'} {text}")

    def show(self) -> None:
        """Print what was noted since the last time."""
        print("", *self._lines, sep="\n")
        self._lines.clear()


@dataclass(slots=True)
class Destination:
    """A storescp whose objects are counted."""

    port: int
    directory: Path
    child: Child | None = None

    def start(self) -> None:
        """Begin to listen."""
        options: list[str | int] = ["--ignore", "--fork", "-pdu", 131072]
        where = self.directory / f"up-{time.monotonic_ns()}"
        self.child, _ = dcmtk.storescp(
            where, port=self.port, ae_title=COUNTED, more=options, env=dcmtk.NO_DELAY
        )

    @property
    def count(self) -> int:
        """Objects that it has received."""
        return 0 if self.child is None else self.child.output.count("Received Store Request")

    def wait_for(self, count: int) -> None:
        """Wait until it has received so many."""
        wait_until(lambda: self.count >= count, f"{count} objects are delivered", timeout=PATIENCE)

    def stop(self) -> None:
        """End it."""
        if self.child is not None:
            self.child.stop()
            self.child = None


def send(port: int, called: str, workload: Workload) -> float:
    """Send the workload on one association with storescu; return the seconds until all of it is answered."""
    workload.make()
    workload.read()
    return measure.storescu(port, called, workload, env=dcmtk.NO_DELAY)


@dataclass(slots=True)
class Bench:
    """What every part needs."""

    directory: Path
    rounds: int
    objects: int
    verdicts: Verdicts = field(default_factory=Verdicts)

    def workloads(self) -> list[Workload]:
        """Return the two that are compared."""
        return [Workload.of(name, self.directory / "files") for name in ("small", "ct")]

    @contextmanager
    def destination(self) -> Iterator[Destination]:
        """Reserve a port for a destination, and end what listens there afterwards."""
        found = Destination(reserve_port(), self.directory)
        try:
            yield found
        finally:
            found.stop()

    def two_zones(
        self,
        name: str,
        aes: Mapping[str, int],
        *,
        nats: NatsServer | None = None,
        more_routes: Sequence[Mapping[str, Any]] = (),
        spool: Mapping[str, Any] | None = None,
    ) -> Mesh:
        """Start a hospital, durable but for LIVE, and a cloud; `nats`: instead of an embedded server.

        Args:
            spool: settings of the hospital's spools that are not the defaults.
        """
        more = QUIET if nats is None else {**QUIET, "nats": {"servers": [nats.url]}}
        hospital = zone_config(
            "hospital",
            listener=reserve_port(),
            routes=[*more_routes, *routes(aes)],
            more={**more, "spool": {"max_bytes": SPOOL_BYTES, **(spool or {})}},
        )
        served = [Ae(title, port, "cloud") for title, port in aes.items()]
        return Mesh.start(
            self.directory / name,
            [hospital, zone_config("cloud", remote_aes=served, more=more)],
            nats_port=None if nats is None else nats.port,
        )


def routes(aes: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return a route for each AE: durable, but for LIVE."""
    return [
        {
            "called": title,
            "to": {"ae": title},
            **({} if title == LIVE else {"delivery": "durable", "accepts": ACCEPTS}),
        }
        for title in aes
    ]


@dataclass(slots=True)
class Way:
    """A way to a destination that answers before it has delivered."""

    title: str
    port: int
    destination: Destination
    accepted: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)
    clear: Callable[[], None] = lambda: None

    def forget(self) -> None:
        """Forget what was measured."""
        self.accepted.clear()
        self.delivered.clear()

    def run(self, workload: Workload, *, called: str = COUNTED) -> None:
        """Measure once."""
        before, started = self.destination.count, time.perf_counter()
        self.accepted.append(send(self.port, called, workload))
        self.destination.wait_for(before + workload.objects)
        self.delivered.append(time.perf_counter() - started)
        self.clear()
