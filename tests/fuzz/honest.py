"""Honest associations beside hostile ones: each has to succeed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.support.files import pattern
from tests.support.scripted import Client
from tests.support.wire import CT_STORAGE, VERIFICATION, Context, store_rq

CONTEXTS = (Context(1, VERIFICATION), Context(3, CT_STORAGE))
PAUSE = 0.02
"""Seconds between two associations."""
STORED = 20_000
"""Bytes of an object."""


@dataclass(slots=True)
class Honest:
    """One that stays, and others one after the other, until the block ends.

    Attributes:
        served: associations that were opened, used and released.
        slowest: seconds that one of them took, at most.
        failures: what went wrong.
    """

    port: int
    called: str
    served: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        for work in (self._come_and_go, self._stay):
            thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _guarded(self, work: object) -> None:
        assert callable(work)
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, an honest association has failed
            self.failures.append(f"{type(error).__name__}: {error}")

    def _open(self) -> Client:
        return Client.open(self.port, called=self.called, calling="HONEST", contexts=CONTEXTS, timeout=60)

    def _come_and_go(self) -> None:
        data = pattern(STORED, 1)
        while not self._stop.wait(PAUSE):
            begun = time.monotonic()
            with self._open() as client:
                assert client.echo() == 0
                assert client.exchange(store_rq(7, "1.2.3", data, context_id=3)).status == 0
                client.release()
            self.served += 1
            self.slowest = max(self.slowest, time.monotonic() - begun)

    def _stay(self) -> None:
        with self._open() as client:
            while not self._stop.wait(0.5):
                assert client.echo() == 0
                client.received.clear()
            client.release()
