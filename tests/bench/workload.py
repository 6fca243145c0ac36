"""What is sent: files for DCMTK, made when they are first needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.files import enhanced_ct, synthetic, write_file

SHAPES = {"small": (500, 8_000), "ct": (200, 525_000), "big": (2, 200_000_000)}


@dataclass(frozen=True, slots=True)
class Workload:
    """Objects that one client sends on one association."""

    name: str
    directory: Path
    objects: int
    size: int

    @classmethod
    def of(cls, name: str, root: Path, *, objects: int | None = None) -> Workload:
        """Describe a workload whose files go below `root`; with fewer objects if `objects` says so."""
        count, size = SHAPES[name]
        count = objects or count
        return cls(name, root / f"{name}-{count}", count, size)

    @property
    def gigabytes(self) -> float:
        """Payload in units of 10^9 bytes."""
        return self.objects * self.size / 1e9

    def smallest(self) -> Workload:
        """Return a few small objects beside these."""
        return Workload.of("small", self.directory.parent, objects=10)

    def read(self) -> None:
        """Have the files in the page cache."""
        for file in self.directory.iterdir():
            file.read_bytes()

    def make(self) -> None:
        """Write the files, unless they are there."""
        if self.directory.exists():
            return
        self.directory.mkdir(parents=True)
        study = list(SHAPES).index(self.name) + 1
        build = enhanced_ct if self.name == "big" else synthetic
        for number in range(1, self.objects + 1):
            write_file(self.directory / f"{number:04}.dcm", build(number, self.size, study=study))
