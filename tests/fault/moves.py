"""C-MOVE: the archive sends back through the mesh, to a viewer in the zone of its client."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tests.fault.archive import STORE, asked_in, question
from tests.fault.content import content, instance_uid
from tests.fault.entry import come_in, release
from tests.fault.ledger import Ledger
from tests.fault.load import Modality, Study
from tests.support.scripted import Client, ServerPeer
from tests.support.wire import (
    CT_STORAGE,
    STUDY_ROOT_MOVE,
    Command,
    Context,
    Message,
    Status,
    Tag,
    request,
    response,
    store_rq,
)

MOVE = 9
MOVE_CONTEXT = Context(MOVE, STUDY_ROOT_MOVE)
VIEWER = "VIEWER"
MOVED = "C-STORE of C-MOVE"
"""What the sub-operations are called in the books."""
_SUB_OPERATIONS = 98
"""In the place of a client's number in their UIDs."""
_UNABLE = 0xA702
"""Refused: out of resources, unable to perform sub-operations (PS3.4 §C.4.2.1.5)."""


def _counts(completed: int, failed: int = 0) -> dict[int, int | str | bytes]:
    return {Tag.COMPLETED: completed, Tag.FAILED: failed, Tag.WARNINGS: 0}


class Mover:
    """The archive's part: opens an association with the destination by way of `port`, and stores there."""

    def __init__(self, ledger: Ledger, port: int, *, timeout: float = 60.0) -> None:
        self._ledger = ledger
        self._port = port
        self._timeout = timeout
        self._numbers = itertools.count(1)

    def __call__(self, peer: ServerPeer, asked: Message) -> None:
        """Answer a C-MOVE-RQ: a pending response after each sub-operation, then the last."""
        count, size, uid = asked_in(asked.data)
        self._ledger.received("C-MOVE", uid)
        completed = 0
        for _ in self._sub_operations(asked, count, size):
            completed += 1
            if completed < count:
                told = {Tag.REMAINING: count - completed, **_counts(completed)}
                peer.send_message(response(asked, Status.PENDING, more=told))
        told = _counts(completed, failed=count - completed)
        peer.send_message(response(asked, _UNABLE if completed < count else 0, more=told))

    def _sub_operations(self, asked: Message, count: int, size: int) -> Iterator[None]:
        """Yield after each that succeeded; what fails is in the books."""
        move = next(self._numbers)
        destination = asked.text(Tag.MOVE_DESTINATION)
        try:
            client = come_in(
                self._port,
                called=destination,
                calling="ARCHIVE",
                contexts=[Context(STORE, CT_STORAGE)],
                timeout=self._timeout,
                ledger=self._ledger,
            )
            if client is None:
                return
            with client:
                for number in range(1, count + 1):
                    uid = instance_uid(_SUB_OPERATIONS, move, number, size)
                    self._ledger.sent(MOVED, uid)
                    status = client.exchange(
                        store_rq(number, uid, content(uid, size), context_id=STORE)
                    ).status
                    client.received.clear()
                    assert status == 0, f"status {status:04X}"
                    self._ledger.answered(MOVED, uid)
                    yield
                release(client)
        except (AssertionError, OSError) as error:
            self._ledger.failed(f"{MOVED}: {type(error).__name__}: {error}")


def move_study(count: int = 3, size: int = 50_000) -> Study:
    """Return a study that has `count` instances sent to the viewer."""

    def move(modality: Modality, client: Client, study: int) -> None:
        uid = instance_uid(modality.number, study, 0, size)
        began = modality.begin("C-MOVE", uid)
        ask_move(client, count, size, uid=uid)
        modality.succeeded("C-MOVE", began, uid)

    return move


def ask_move(client: Client, count: int, size: int, *, uid: str) -> None:
    """Send a C-MOVE and check that each sub-operation is told once, in order."""
    more: dict[int, int | str | bytes] = {Tag.PRIORITY: 0, Tag.MOVE_DESTINATION: VIEWER}
    identifier = question(count, size, uid)
    answer = client.exchange(
        request(Command.C_MOVE, 1, STUDY_ROOT_MOVE, data=identifier, context_id=MOVE, more=more)
    )
    told = 0
    while answer.status == Status.PENDING:
        told += 1
        assert answer.number(Tag.COMPLETED) == told, f"response {told} tells {answer.number(Tag.COMPLETED)}"
        client.received.clear()
        answer = client.receive_message()
    client.received.clear()
    assert answer.status == 0, f"C-MOVE status {answer.status:04X}"
    assert answer.number(Tag.COMPLETED) == count == told + 1, f"{told} of {count} told"
