"""Whether the processes of a mesh stay the same, keep their memory, and complain of nothing unexpected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.process import anonymous_bytes, open_files

ALARMS = (
    "Traceback",
    " raised ",
    "Exception in callback",
    "Fatal error",
    "never retrieved",
    "was killed",
    "has died",
    "exit code",
)
MOST_GROWTH = 24 << 20
"""Bytes by which a process may grow after the first fifth of the attack."""


@dataclass(slots=True)
class Steadiness:
    """Watches processes by name."""

    pids: Mapping[str, int]
    logs: list[Path]
    _at_first: dict[str, int] = field(default_factory=dict)
    _settled: dict[str, int] = field(default_factory=dict)
    _seen: dict[Path, int] = field(default_factory=dict)
    descriptors: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        """Note what there is before the attack."""
        self._at_first = self._allocated()
        self.descriptors = {name: open_files(pid) for name, pid in self.pids.items()}
        self._seen = {path: path.stat().st_size for path in self.logs}

    def settled(self) -> None:
        """Note what there is once caches and windows are warm."""
        self._settled = self._allocated()

    def table(self) -> str:
        """Return the memory of each process, in MiB: before, after the first fifth, now."""
        now = self._allocated()
        rows = [f"{'process':32}{'before':>8}{'warm':>8}{'after':>8}  MiB"]
        rows += [
            f"{name:32}{self._at_first[name] >> 20:8}{self._settled.get(name, 0) >> 20:8}{now[name] >> 20:8}"
            for name in self.pids
        ]
        return "\n".join(rows)

    def complaints(self, pids: Mapping[str, int]) -> list[str]:
        """Return what isn't as it should be.

        Args:
            pids: the processes that there are now.
        """
        if dict(pids) != dict(self.pids):
            return [f"processes have changed: {dict(self.pids)} before, {dict(pids)} now"]
        now = self._allocated()
        found = [
            f"{name} grew by {now[name] - before >> 20} MiB after the first fifth"
            for name, before in self._settled.items()
            if now[name] - before > MOST_GROWTH
        ]
        for path in self.logs:
            with path.open("rb") as log:
                log.seek(self._seen[path])
                lines = log.read().decode(errors="replace").splitlines()
            found += [line for line in lines if any(alarm in line for alarm in ALARMS)][:10]
        return found

    def _allocated(self) -> dict[str, int]:
        return {name: anonymous_bytes(pid) for name, pid in self.pids.items()}
