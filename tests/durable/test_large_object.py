"""A large object is never held whole in memory."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.durable.archive import Archive
from tests.durable.books import Books
from tests.durable.site import ARCHIVE, CONTEXTS, STORE, site
from tests.support.files import UID_ROOT, element, pattern
from tests.support.scripted import Client
from tests.support.wire import CT_STORAGE, p_data_in_pieces, store_rq

MOST = 150_000_000
"""Bytes that a service may have had at its peak: its own start, and the windows."""
PIECE = 15_000


@dataclass(frozen=True, slots=True)
class Large:
    """An object that is made piece by piece."""

    pixel_bytes: int
    instance: str = f"{UID_ROOT}.7.1"

    def pieces(self) -> Iterator[bytes]:
        """Yield the data set: its UIDs, then pixel data in which no piece is like another."""
        yield element(0x00080016, "UI", CT_STORAGE) + element(0x00080018, "UI", self.instance)
        yield element(0x0020000D, "UI", f"{UID_ROOT}.7")
        yield struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, self.pixel_bytes)
        rest = pattern(PIECE)[8:]
        for at in range(0, self.pixel_bytes, PIECE):
            yield (struct.pack("<Q", at) + rest)[: self.pixel_bytes - at]

    def digest(self) -> bytes:
        """Return what it is recognised by."""
        found = hashlib.sha256()
        for piece in self.pieces():
            found.update(piece)
        return found.digest()


def passes(directory: Path, pixel_bytes: int) -> None:
    """Store an object, compare what arrives, and look what memory it took."""
    content, books = Large(pixel_bytes), Books()
    books.sent[content.instance] = content.digest()
    archive = Archive(books)
    with ExitStack() as stack:
        stack.callback(archive.kill)
        spool = {"max_bytes": 2 * pixel_bytes + (1 << 30)}
        where = stack.enter_context(site(directory, hospital={"spool": spool}, port=archive.port))
        with Client.open(
            where.entry, called=ARCHIVE, calling="CT1", contexts=CONTEXTS, timeout=600
        ) as client:
            request = store_rq(1, content.instance, b"", context_id=STORE)
            for pdu in p_data_in_pieces(request, content.pieces()):
                client.send(pdu)
            assert client.receive_message().status == 0
            books.acknowledge("CT1", content.instance)
            client.release()
        books.wait_for_arrival({content.instance}, timeout=600)
        peaks = where.mesh.memory(peak=True)
    books.balance().check()
    for name in ("hospital/association", "cloud/delivery"):
        assert peaks[name] < MOST, peaks


def test_a_large_object(tmp_path: Path) -> None:
    passes(tmp_path, 200_000_000)


@pytest.mark.soak
def test_the_largest_object(tmp_path: Path) -> None:
    """The largest pixel data that an element of defined length may hold, but for a few bytes."""
    passes(tmp_path, 0xFFFFFFF0)
