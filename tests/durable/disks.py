"""File systems of a test's own: small ones, and ones that lose what was not flushed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Disk:
    """An ext4 file system in a file. What its users have not flushed stands in `mounted`, and not in `image`."""

    def __init__(self, image: Path, mounted: Path) -> None:
        self.image = image
        self.mounted = mounted

    def mount(self) -> None:
        """Mount the image."""
        self.mounted.mkdir(exist_ok=True)
        command = ["mount", "-o", "loop", str(self.image), str(self.mounted)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"no loop devices here: {done.stderr.decode(errors='replace').strip()}")

    def unmount(self) -> None:
        """Unmount it, whoever still has files open there."""
        subprocess.run(["umount", "-l", str(self.mounted)], check=False, capture_output=True)

    def copy(self, image: Path) -> Disk:
        """Return what a power failure would leave now: what was flushed.

        Whoever writes must be stopped. The file system's own journal still writes now and then: a copy during which the
        image has changed holds parts of two moments, as no disk does, so it is made again.
        """
        while True:
            subprocess.run(["cp", "--sparse=always", str(self.image), str(image)], check=True)
            if subprocess.run(["cmp", "--silent", str(self.image), str(image)], check=False).returncode == 0:
                return Disk(image, image.with_suffix(".mounted"))


@contextmanager
def disk(directory: Path, megabytes: int) -> Iterator[Disk]:
    """Make a file system and mount it for the length of the block."""
    if os.getuid() != 0:
        pytest.skip("mounting a file system needs root")
    made = Disk(directory / "disk.img", directory / "disk")
    with made.image.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(made.image)], check=True, capture_output=True)
    made.mount()
    try:
        yield made
    finally:
        made.unmount()
