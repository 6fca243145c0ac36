"""Flip bits in the block files of nats-server's store, as an ageing disk does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.support.files import DicomFile


def blocks_with(directory: Path, wanted: bytes) -> Iterator[tuple[Path, int]]:
    """Yield the block files that hold some bytes, and where."""
    for path in sorted(directory.rglob("*.blk")):
        at = path.read_bytes().find(wanted)
        if at >= 0:
            yield path, at


def flip_at(path: Path, at: int) -> None:
    """Flip a bit."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def flip_in(directory: Path, content: DicomFile, offset: int) -> None:
    """Flip a bit of an object's data set in the store's files."""
    path, at = next(blocks_with(directory, content.data[offset : offset + 200]))
    flip_at(path, at)


def flip_in_manifest(directory: Path, content: DicomFile) -> None:
    """Flip a bit of an object's manifest, which stands apart from its data set."""
    wanted = f'"sop_instance":"{content.sop_instance}"'.encode()
    flipped = 0
    for path, at in blocks_with(directory, wanted):
        block = path.read_bytes()
        found = at
        while found >= 0:
            # Names hold this, too, and have no digest behind it.
            if (
                b'"digest":' in block[found : found + 900]
                and b'"sequence":' not in block[found - 110 : found]
            ):
                flip_at(path, found + 20)
                flipped += 1
            found = block.find(wanted, found + 1)
    assert flipped, "the manifest stands in no block file"
