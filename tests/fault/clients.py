"""What clients do in a study: the composite services, each answer checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.fault.archive import (
    CONTEXTS,
    FIND,
    GET,
    GET_ROLES,
    STORE,
    find_rq,
    get_rq,
    match_identifier,
    whole_instances,
)
from tests.fault.conftest import TARGET
from tests.fault.content import content, instance_uid
from tests.fault.load import Modality, Study
from tests.support.scripted import Aborted, Client, Closed
from tests.support.stalls import Stalls
from tests.support.wire import VERIFICATION, Command, Status, request, response, store_rq


def open_client(port: int, *, timeout: float = 20.0) -> Client:
    """Open an association with the archive through the mesh."""
    return Client.open(port, called=TARGET, contexts=CONTEXTS, extra=GET_ROLES, timeout=timeout)


def is_told(client: Client, began: float, stalls: Stalls, *, within: float) -> bool:
    """Tell whether a client hears of the end of its association so many seconds after `began`; stalls are no delay."""
    while True:
        left = within - stalls.moved(began)
        client.sock.settimeout(max(0.1, left))
        try:
            client.receive_message()
        except (Aborted, Closed):
            return True
        except TimeoutError:
            if left <= 0:
                return False  # its association does not run through what has ended
        else:
            raise AssertionError("an answer that nobody has sent")


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

    def find(modality: Modality, client: Client, study: int) -> None:
        uid = instance_uid(modality.number, study, 0, count)
        began = modality.begin("C-FIND", uid)
        ask_find(client, count, uid=uid)
        modality.succeeded("C-FIND", began, uid)

    return find


def get_study(count: int = 4, size: int = 50_000) -> Study:
    """Return a study that retrieves `count` instances by C-GET and checks them."""

    def get(modality: Modality, client: Client, study: int) -> None:
        uid = instance_uid(modality.number, study, 0, size)
        began = modality.begin("C-GET", uid)
        ask_get(client, count, size, uid=uid)
        modality.succeeded("C-GET", began, uid)

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
    client: Client,
    count: int,
    *,
    uid: str = "",
    message_id: int = 1,
    on_answer: Callable[[int], None] | None = None,
) -> None:
    """Send a C-FIND and check that each of `count` answers comes once and in order."""
    answer = client.exchange(find_rq(message_id, count, uid))
    number = 0
    while answer.status == Status.PENDING:
        assert answer.context_id == FIND
        assert answer.data == match_identifier(number), f"answer {number} is wrong"
        number += 1
        if on_answer is not None:
            on_answer(number)
        client.received.clear()
        answer = client.receive_message()
    assert answer.status == 0, f"C-FIND status {answer.status:04X}"
    assert number == count, f"{number} of {count} answers"


def ask_get(
    client: Client, count: int, size: int, *, uid: str = "", on_store: Callable[[int], None] | None = None
) -> None:
    """Send a C-GET, answer its C-STOREs, and check that `count` instances come, whole."""
    client.send_message(get_rq(1, count, size, uid))
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
