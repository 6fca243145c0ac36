"""Clients under steady load: an association per study, as modalities do it; refused for now means come again."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.fault.archive import (
    CONTEXTS,
    FIND,
    GET,
    GET_ROLES,
    PENDING,
    STORE,
    find_rq,
    get_rq,
    match_identifier,
    whole_instances,
)
from tests.fault.content import content, instance_uid
from tests.fault.ledger import Ledger
from tests.support.scripted import Aborted, Client, Closed, Rejected
from tests.support.wire import (
    RELEASE_RQ_PDU,
    VERIFICATION,
    Command,
    Pdu,
    PduType,
    request,
    response,
    store_rq,
)

TRANSIENT = 2
COME_AGAIN = 0.05
"""Seconds until a client that was turned away asks again."""
PATIENCE = 30.0
"""Seconds after which a client that is turned away again and again has failed."""

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
        timeout: float,
        pause: float,
    ) -> None:
        self.number = number
        self.ledger = ledger
        self._pause = pause
        self._port = port
        self._called = called
        self._studies = studies
        self._timeout = timeout
        self._random = random.Random(number)
        self._study = 0
        self._operation = ""

    def work(self, stop: threading.Event) -> None:
        """Do studies until `stop`."""
        while not stop.wait(self._pause):
            self._study += 1
            client = self._open(stop)
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
                    self.ledger.failed(what, operation=bool(self._operation))
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
        self._operation = ""
        self.ledger.failed(what, operation=True)

    def _open(self, stop: threading.Event) -> Client | None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return Client.open(
                    self._port,
                    called=self._called,
                    calling=f"CLIENT{self.number}",
                    contexts=CONTEXTS,
                    extra=GET_ROLES,
                    timeout=self._timeout,
                )
            except Rejected as error:
                result, source, reason = error.triple
                if result != TRANSIENT:
                    self.ledger.failed(f"open: {error}")
                    return None
                self.ledger.away(f"rejected {source}/{reason}")
            except (ConnectionRefusedError, Closed, Aborted, ConnectionResetError) as error:
                self.ledger.away(type(error).__name__)
            except OSError as error:
                self.ledger.failed(f"open: {type(error).__name__}: {error}")
            if time.monotonic() > end:
                self.ledger.failed("open: turned away for too long")
                return None
            if stop.wait(COME_AGAIN):
                return None


def release(client: Client) -> None:
    """Release an association.

    Raises:
        Aborted, Closed: it ended otherwise.
    """
    client.send(RELEASE_RQ_PDU)
    answer = client.receive()
    assert isinstance(answer, Pdu)
    if answer.kind == PduType.ABORT:
        raise Aborted(answer)
    assert answer.kind == PduType.RELEASE_RP, f"PDU type {answer.kind} in answer to A-RELEASE-RQ"


def store_study(sizes: Sequence[int] = (8_000, 8_000, 30_000, 200_000)) -> Study:
    """Return a study that stores an instance of each of `sizes`."""

    def store(modality: Modality, client: Client, study: int) -> None:
        for number, size in enumerate(sizes, 1):
            uid = instance_uid(modality.number, study, number, size)
            began = modality.begin("C-STORE", uid)
            status = client.exchange(store_rq(number, uid, content(uid, size), context_id=STORE)).status
            client.received.clear()
            if status:
                modality.failed(f"C-STORE: status {status:04X}")
            else:
                modality.succeeded("C-STORE", began, uid)

    return store


def find_study(count: int = 200) -> Study:
    """Return a study that asks one C-FIND and checks each of `count` answers."""

    def find(modality: Modality, client: Client, _: int) -> None:
        began = modality.begin("C-FIND")
        ask_find(client, count)
        modality.succeeded("C-FIND", began)

    return find


def get_study(count: int = 4, size: int = 50_000) -> Study:
    """Return a study that retrieves `count` instances by C-GET and checks them."""

    def get(modality: Modality, client: Client, _: int) -> None:
        began = modality.begin("C-GET")
        ask_get(client, count, size)
        modality.succeeded("C-GET", began)

    return get


def echo_study(count: int = 5) -> Study:
    """Return a study of `count` C-ECHOs."""

    def echo(modality: Modality, client: Client, _: int) -> None:
        for number in range(1, count + 1):
            began = modality.begin("C-ECHO")
            assert client.exchange(request(Command.C_ECHO, number, VERIFICATION)).status == 0
            client.received.clear()
            modality.succeeded("C-ECHO", began)

    return echo


def ask_find(
    client: Client, count: int, *, message_id: int = 1, on_answer: Callable[[int], None] | None = None
) -> None:
    """Send a C-FIND and check that each of `count` answers comes once and in order."""
    answer = client.exchange(find_rq(message_id, count))
    number = 0
    while answer.status == PENDING:
        assert answer.context_id == FIND
        assert answer.data == match_identifier(number), f"answer {number} is wrong"
        number += 1
        if on_answer is not None:
            on_answer(number)
        client.received.clear()
        answer = client.receive_message()
    assert answer.status == 0, f"C-FIND status {answer.status:04X}"
    assert number == count, f"{number} of {count} answers"


def ask_get(client: Client, count: int, size: int, *, on_store: Callable[[int], None] | None = None) -> None:
    """Send a C-GET, answer its C-STOREs, and check that `count` instances come, whole."""
    client.send_message(get_rq(1, count, size))
    uids: list[str] = []
    while True:
        message = client.receive_message()
        client.received.clear()
        if message.context_id == GET:
            assert message.status == 0, f"C-GET status {message.status:04X}"
            break
        uids += whole_instances([message])
        if on_store is not None:
            on_store(len(uids))
        client.send_message(response(message))
    assert len(set(uids)) == len(uids) == count, (
        f"{len(set(uids))} of {count} instances, {len(uids)} messages"
    )


@contextmanager
def at_work(
    port: int,
    *,
    called: str,
    ledger: Ledger,
    clients: int,
    studies: Sequence[Study],
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
