"""C-FIND, C-GET and C-MOVE (PS3.4 §C.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.events import Event

from dimse_mesh.app.archive.catalog import Catalog, StoredObject
from dimse_mesh.app.archive.verbatim import send_verbatim

PENDING = 0xFF00
CANCEL = 0xFE00
MISMATCH = 0xA900
MAX_CONTEXTS = 128


class Queries:
    """pynetdicom's handlers. `callback` is where every C-MOVE destination is reached."""

    def __init__(self, catalog: Catalog, callback: tuple[str, int]) -> None:
        self._catalog = catalog
        self._callback = callback

    def find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        """Answer a C-FIND."""
        try:
            answers = self._catalog.answers(event.identifier)
        except ValueError:
            yield MISMATCH, None
            return
        for answer in answers:
            if event.is_cancelled:
                yield CANCEL, None
                return
            yield PENDING, answer

    def get(self, event: Event) -> Iterator[Any]:
        """Send what matches on the same association."""
        send_verbatim(event.assoc, self._catalog)
        matching = self._catalog.matching(event.identifier)
        yield len(matching)
        yield from _sub_operations(event, matching)

    def move(self, event: Event) -> Iterator[Any]:
        """Send what matches on an association of our own."""
        matching = self._catalog.matching(event.identifier)
        pairs = dict.fromkeys((stored.sop_class, stored.transfer_syntax) for stored in matching)
        contexts = [build_context(*pair) for pair in list(pairs)[:MAX_CONTEXTS]]
        yield *self._callback, {"contexts": contexts, "max_pdu": 0}
        yield len(matching)
        yield from _sub_operations(event, matching)


def _sub_operations(event: Event, matching: Sequence[StoredObject]) -> Iterator[tuple[int, Dataset | None]]:
    for stored in matching:
        if event.is_cancelled:
            yield CANCEL, None
            return
        yield PENDING, stored.attributes
