"""Clients that keep books of what they were told is safe."""

from __future__ import annotations

import itertools
import threading
from typing import Protocol

from tests.durable.site import Inbox, store
from tests.support.files import DicomFile, synthetic
from tests.support.scripted import Aborted, Client, Closed, Rejected


class Way(Protocol):
    """A way to the front-end."""

    def open(self, *, calling: str) -> Client:
        """Associate as a modality."""
        ...


class Modality:
    """Stores objects one after the other, on a new association after each that broke, until told to stop."""

    def __init__(self, where: Way, calling: str, study: int) -> None:
        self.acknowledged: list[DicomFile] = []
        self.refused = 0
        self.calling = calling
        self._where = where
        self._study = study
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Modality:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive()

    def has_more_than(self, count: int) -> bool:
        """Tell whether more objects than that were acknowledged."""
        return len(self.acknowledged) > count

    def _run(self) -> None:
        sizes = itertools.cycle((2_000, 150_000, 30_000, 1_500_000))
        contents = (synthetic(number, next(sizes), study=self._study) for number in itertools.count())
        content = next(contents)
        while not self._stop.is_set():
            try:
                with self._where.open(calling=self.calling) as client:
                    while not self._stop.is_set():
                        if store(client, content) == 0:
                            self.acknowledged.append(content)
                            content = next(contents)
                        else:
                            self.refused += 1
                    client.release()
            except (Aborted, Closed, Rejected, OSError):
                self._stop.wait(0.05)  # a modality comes again


def has_all(inbox: Inbox, modality: Modality) -> bool:
    """Tell whether all that a modality was told is safe has arrived."""
    return {content.sop_instance for content in modality.acknowledged} <= set(inbox.instances)


def check(inbox: Inbox, modality: Modality) -> int:
    """Compare what arrived with what a modality was told is safe; return how many came more than once."""
    arrived = [got for got in inbox.objects if got.calling == modality.calling]
    by_uid = {content.sop_instance: content.data for content in modality.acknowledged}
    firsts = list(dict.fromkeys(got.instance for got in arrived))
    assert [uid for uid in by_uid if uid not in set(firsts)] == [], "acknowledged, and never delivered"
    assert all(got.data == by_uid[got.instance] for got in arrived if got.instance in by_uid)
    assert [uid for uid in firsts if uid in by_uid] == list(by_uid), "delivered in another order"
    return len(arrived) - len(firsts)
