"""Which nats-server this version of dimse-mesh is tried with.

The one place where the version stands as code; `pyproject.toml`, `compose.yaml`, `k8s/nats` and the tests are compared
with it. Not below 2.15: older servers ignored `sync_interval: always` when they compacted a block, and lost
acknowledged messages on a power failure (nats-server #8456, #8475).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

VERSION: Final = "2.15.1"
OLDEST_DURABLE: Final = "2.15.0"
"""The oldest one that keeps what it has acknowledged."""
IMAGE: Final = f"nats:{VERSION}-alpine"
"""The official image of that version."""


def tuning(cores: int, *, jetstream: bool = False) -> Mapping[str, str]:
    """Return the environment variables by which Go's runtime suits an embedded nats-server on so many cores.

    Fewer garbage collections are the biggest cheap win; the memory limit bounds their price. On one or two cores a
    second thread of the server only takes turns with the services: one thread saves about a tenth of all CPU.

    JetStream's working set is larger: the ids of the messages of two minutes, and blocks of 8 MB. Under 60 MiB the
    collector took three quarters of its CPU while 8,000 dead letters were retried.
    """
    collector = {"GOGC": "400", "GOMEMLIMIT": "192MiB" if jetstream else "60MiB"}
    return collector if cores > 2 else {**collector, "GOMAXPROCS": "1"}


def timer_slack(*, jetstream: bool) -> int:
    """Return by how many nanoseconds timers of an embedded nats-server may be late; 0: by what is usual (50 us).

    Go's runtime has a thread that looks every 20 us whether another one stays in a system call, as long as any does:
    with `GOMAXPROCS=1` a quarter to a half of the server's CPU, for nothing where calls don't block. JetStream's do,
    when it writes and syncs, and what waits behind them must not wait longer.
    """
    return 0 if jetstream else 10_000_000


def is_recent(version: str) -> bool:
    """Tell whether a version of nats-server is one that keeps what it has acknowledged."""
    return _numbers(version) >= _numbers(OLDEST_DURABLE)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version; what stands behind a hyphen (`-beta.1`) doesn't count."""
    parts = version.removeprefix("v").partition("-")[0].split(".")
    return tuple(int(part) if part.isascii() and part.isdigit() else 0 for part in parts)
