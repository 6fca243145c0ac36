"""Clients under steady load: an association per study, as modalities do it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.fault.archive import CONTEXTS, GET_ROLES
from tests.fault.entry import PATIENCE, come_in, release
from tests.fault.ledger import Ledger
from tests.support.scripted import Aborted, Client, Closed
from tests.support.wire import Context

Study = Callable[["Modality", Client, int], None]


class Modality:
    """One client: studies one after another until told to stop."""

    def __init__(
        self,
        number: int,
        *,
        port: int,
        called: str,
        ledger: Ledger,
        studies: Sequence[Study],
        contexts: Sequence[Context],
        timeout: float,
        pause: float,
    ) -> None:
        self.number = number
        self.ledger = ledger
        self._pause = pause
        self._port = port
        self._called = called
        self._studies = studies
        self._contexts = contexts
        self._timeout = timeout
        self._random = random.Random(number)
        self._study = 0
        self._operation = ""

    def work(self, stop: threading.Event) -> None:
        """Do studies until `stop`."""
        while not stop.wait(self._pause):
            self._study += 1
            client = come_in(
                self._port,
                called=self._called,
                calling=f"CLIENT{self.number}",
                contexts=self._contexts,
                extra=GET_ROLES,
                timeout=self._timeout,
                ledger=self.ledger,
                stop=stop,
            )
            if client is None:
                continue
            kind = self._random.choice(self._studies)
            began = time.monotonic()
            self._operation = ""
            with client:
                try:
                    kind(self, client, self._study)
                    release(client)
                except (Aborted, Closed) as error:
                    if self._operation:
                        self.ledger.was_aborted(self._operation)
                    else:
                        self.ledger.away(type(error).__name__)
                except (TimeoutError, AssertionError, OSError) as error:
                    what = f"{kind.__name__}: {type(error).__name__}: {error}"
                    self.ledger.failed(what, service=self._operation)
                else:
                    self.ledger.finished(self.number, began)

    def begin(self, service: str, uid: str = "") -> float:
        """Note that an operation begins; return when."""
        self._operation = service
        return self.ledger.begin(service, uid)

    def succeeded(self, service: str, began: float, uid: str = "") -> None:
        """Note that it was answered with success."""
        self._operation = ""
        self.ledger.succeeded(service, began, uid)

    def failed(self, what: str) -> None:
        """Note that it was answered with a failure."""
        self.ledger.failed(what, service=self._operation)
        self._operation = ""


@contextmanager
def at_work(
    port: int,
    *,
    called: str,
    ledger: Ledger,
    clients: int,
    studies: Sequence[Study],
    contexts: Sequence[Context] = CONTEXTS,
    timeout: float = 60.0,
    pause: float = 0.02,
) -> Iterator[threading.Event]:
    """Run `clients` modalities for the length of the block; each finishes its study at the end.

    `pause` are the seconds between two studies of a client.
    """
    stop = threading.Event()
    threads = [
        threading.Thread(
            target=Modality(
                number,
                port=port,
                called=called,
                ledger=ledger,
                studies=studies,
                contexts=contexts,
                timeout=timeout,
                pause=pause,
            ).work,
            args=(stop,),
            daemon=True,
        )
        for number in range(1, clients + 1)
    ]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout + PATIENCE)
            assert not thread.is_alive(), "a client hangs"
