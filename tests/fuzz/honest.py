"""Honest associations beside hostile ones: each has to succeed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.support.files import pattern
from tests.support.scripted import Client, Server
from tests.support.wire import CT_STORAGE, VERIFICATION, Command, Context, Message, Tag, store_rq

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


@dataclass(slots=True)
class HonestDurable:
    """Stores objects by a durable route, one after the other, until the block ends.

    Attributes:
        stored: objects that were acknowledged.
        kept: the destination.
    """

    port: int
    called: str
    kept: Server
    stored: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._store, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(60)

    @property
    def missing(self) -> int:
        """How many acknowledged objects the destination doesn't have."""
        arrived = {
            message.text(Tag.AFFECTED_SOP_INSTANCE)
            for peer in list(self.kept.peers)
            for message in list(peer.received)
            if isinstance(message, Message) and message.field == Command.C_STORE
        }
        return sum(f"1.2.{number}" not in arrived for number in range(self.stored))

    def _store(self) -> None:
        data = pattern(STORED, 2)
        try:
            while not self._stop.wait(0.2):
                with Client.open(
                    self.port, called=self.called, calling="HONEST", contexts=CONTEXTS, timeout=60
                ) as client:
                    assert client.exchange(store_rq(1, f"1.2.{self.stored}", data, context_id=3)).status == 0
                    self.stored += 1
                    client.release()
        except Exception as error:  # noqa: BLE001 - whatever it is, an honest client has failed
            self.failures.append(f"durable: {type(error).__name__}: {error}")
