"""What is measured, over which ways, and what the result must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench import measure
from tests.bench.measure import Sample
from tests.bench.ways import Targets, WayUnderTest
from tests.bench.workload import Workload

PLAIN = ("direct", "relay", "mesh")
MESHES = ("mesh", "mesh-again", "mesh-hosted")
"""The mesh, the same once more for the noise, and with the handlers in the front-end's process."""
HOSTED = ("direct", "relay", *MESHES)
STOCK = ("direct", "mesh")
TRACED = ("direct", "relay", "mesh", "mesh-again", "mesh-untraced", "mesh-traced")
ENCRYPTED = "mesh-encrypted"
"""The mesh with encryption from zone to zone: in every row, where it is asked for by `--ways`."""
EVERY = (
    *("direct", "relay", "relay-8k", *MESHES, "mesh-untraced", "mesh-traced"),
    *("pynetdicom", "orthanc", "orthanc-nodelay"),
)


@dataclass(frozen=True, slots=True)
class Limit:
    """The time of `way`, divided by that of `against` in the same round: what it must be, and should be."""

    against: str
    must: float
    aim: float
    way: str = "mesh"
    cpu: bool = False
    """True: the CPU time of all processes of a way, not its wall time."""

    @property
    def wants_faster(self) -> bool:
        """True: read as "so many times faster"."""
        return self.must < 1


@dataclass(frozen=True, slots=True)
class CpuLimit:
    """CPU time of all processes of a way: seconds per GB where bytes count, else microseconds per operation."""

    must: float
    aim: float
    way: str = "mesh"


def at_most(must: float, aim: float, way: str = "mesh") -> Limit:
    """Return a limit relative to two socat relays in series."""
    return Limit("relay", must, aim, way)


def faster(against: str, must: float, aim: float) -> Limit:
    """Return a limit "at least so many times faster"."""
    return Limit(against, 1 / must, 1 / aim)


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the table."""

    key: str
    title: str
    ways: Sequence[str]
    run: Callable[[WayUnderTest], Sample]
    limits: Sequence[Limit] = ()
    must_seconds: float | None = None
    """What the mesh must stay below, whatever the relay takes."""
    must_cpu: float | None = None
    """CPU seconds per GB that the front-end, and the executor, must each stay below."""
    aim_cpu: float = 0.5
    cpu_limits: Sequence[CpuLimit] = ()
    must_growth: int | None = None
    """MiB by which no process of the mesh may grow."""
    aim_growth: int = 16


def store_cell(
    targets: Targets,
    workload: Workload,
    ways: Sequence[str],
    limits: Sequence[Limit] = (),
    cpu_limits: Sequence[CpuLimit] = (),
    *,
    clients: int = 1,
    stock: bool = False,
) -> Cell:
    """Return the row of a C-STORE workload."""
    who = "1 client" if clients == 1 else f"{clients} clients"
    peers = ", stock (Nagle) peers" if stock else ""
    size = f"{workload.size // 1000} KB" if workload.size < 10**6 else f"{workload.size // 10**6} MB"
    return Cell(
        f"{workload.name}-{'stock' if stock else clients}",
        f"{workload.name} ({workload.objects} x {size}), {who}{peers}",
        ways,
        partial(_store, targets=targets, workload=workload, clients=clients, stock=stock),
        limits,
        cpu_limits=cpu_limits,
        must_cpu=1.2 if clients == 1 and not stock and workload.gigabytes > 0.05 else None,
    )


def _store(way: WayUnderTest, *, targets: Targets, workload: Workload, clients: int, stock: bool) -> Sample:
    return measure.store(way, targets, workload, clients=clients, stock=stock)


def full_plan(targets: Targets, files: Path, only: Sequence[str] = ()) -> list[Cell]:
    """Return the rows of `make bench`: all, or those whose key starts with one of `only`."""
    small, ct, big = (Workload.of(name, files) for name in ("small", "ct", "big"))
    hosted = "mesh-hosted"
    eight = [at_most(2.2, 1.8)]
    pynet = faster("pynetdicom", 3, 10)
    tracing = [
        Limit("mesh-untraced", 1.08, 1.05, cpu=True),
        Limit("mesh-untraced", 1.25, 1.15, "mesh-traced", cpu=True),
    ]
    small_limits = [at_most(2.6, 2.4), at_most(2.0, 1.7, hosted), faster("orthanc", 15, 30), pynet, *tracing]
    ct_limits = [at_most(2.05, 1.85), at_most(1.75, 1.5, hosted), faster("orthanc", 3, 5), pynet]
    cells = [
        huge_cell(),
        store_cell(targets, small, EVERY, small_limits, [CpuLimit(880, 750), CpuLimit(640, 530, hosted)]),
        store_cell(targets, ct, EVERY, ct_limits, [CpuLimit(3.9, 3.4), CpuLimit(3.2, 2.6, hosted)]),
        store_cell(targets, big, EVERY, [at_most(1.7, 1.5), pynet], [CpuLimit(2.2, 2.0)]),
        store_cell(targets, small, PLAIN, clients=4),
        store_cell(targets, ct, PLAIN, clients=4),
        store_cell(targets, small, (*PLAIN, "pynetdicom"), [*eight, pynet], clients=8),
        store_cell(targets, ct, (*PLAIN, "pynetdicom"), [*eight, pynet], clients=8),
        store_cell(targets, small, STOCK, [faster("direct", 20, 50)], stock=True),
        store_cell(targets, ct, STOCK, [faster("direct", 3, 20)], stock=True),
        echo_cell(2000),
        find_cell(5),
        set_up_cell(50),
    ]
    return [cell for cell in cells if not only or cell.key.startswith(tuple(only))]


def quick_plan(targets: Targets, files: Path, only: Sequence[str] = ()) -> list[Cell]:
    """Return the rows of `make bench-quick`: under two minutes, against the double relay only."""
    ways = ("relay", "mesh")
    few = Workload.of("small", files, objects=200)
    cells = [
        store_cell(targets, Workload.of("small", files), ways, [at_most(2.6, 2.4)]),
        store_cell(targets, Workload.of("ct", files), ways, [at_most(2.05, 1.85)]),
        store_cell(targets, Workload.of("big", files, objects=1), ways, [at_most(1.7, 1.5)]),
        store_cell(targets, few, ways, [at_most(2.2, 1.8)], clients=8),
        store_cell(targets, Workload.of("ct", files, objects=50), ways, [at_most(2.2, 1.8)], clients=8),
        store_cell(
            targets, Workload.of("small", files, objects=50), STOCK, [faster("direct", 20, 50)], stock=True
        ),
        echo_cell(1000, ways),
        find_cell(3, ways),
        set_up_cell(20, ways),
    ]
    return [cell for cell in cells if not only or cell.key.startswith(tuple(only))]


def huge_cell() -> Cell:
    """Return the row of an object that fits no memory limit. It comes first, when no process has grown yet."""
    return Cell(
        "huge",
        "one object of 2 GB, raw client",
        ("direct", "relay", "mesh"),
        partial(measure.huge, size=2_000_000_000),
        must_growth=64,
    )


def echo_cell(count: int, ways: Sequence[str] = TRACED) -> Cell:
    """Return the row of C-ECHO."""
    return Cell(
        "echo",
        "C-ECHO p50, open association",
        ways,
        partial(measure.echo, count=count),
        [at_most(8, 4)],
        must_seconds=0.001,
        cpu_limits=[CpuLimit(560, 450)],
    )


def find_cell(count: int, ways: Sequence[str] = HOSTED) -> Cell:
    """Return the row of C-FIND."""
    return Cell(
        "find",
        "C-FIND, 2,000 pending responses, raw client",
        ways,
        partial(measure.find, responses=2000, count=count),
        [at_most(2.8, 2.2)],
    )


def set_up_cell(count: int, ways: Sequence[str] = PLAIN) -> Cell:
    """Return the row of association set-up."""
    return Cell("setup", "association set-up p50", ways, partial(measure.set_up, count=count))
