"""N-*: procedure steps that are created and set, and storage commitment with its report the other way."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fault.archive import Answer
from tests.fault.content import content, instance_uid, size_of
from tests.fault.ledger import Ledger
from tests.fault.load import Modality, Study
from tests.support.scripted import Client, ServerPeer
from tests.support.wire import (
    MPPS,
    STORAGE_COMMITMENT,
    Command,
    Context,
    Message,
    Tag,
    request,
    response,
)

STEP, COMMITMENT = 11, 13
N_CONTEXTS = (Context(STEP, MPPS), Context(COMMITMENT, STORAGE_COMMITMENT))
_NAMES: Mapping[int, str] = {
    Command.N_CREATE: "N-CREATE",
    Command.N_SET: "N-SET",
    Command.N_ACTION: "N-ACTION",
    Command.N_EVENT_REPORT: "N-EVENT-REPORT",
}


def _take(ledger: Ledger, asked: Message) -> str:
    """Note a request in the performer's book; return the UID of its SOP instance."""
    requested = asked.field in {Command.N_SET, Command.N_ACTION}
    uid = asked.text(Tag.REQUESTED_SOP_INSTANCE if requested else Tag.AFFECTED_SOP_INSTANCE)
    ledger.received(_NAMES[asked.field], uid, whole=asked.data == content(uid, size_of(uid)))
    return uid


def answers(ledger: Ledger) -> dict[int, Answer]:
    """Return the archive's part, by command."""

    def perform(peer: ServerPeer, asked: Message) -> None:
        _take(ledger, asked)
        peer.send_message(response(asked))

    def commit(peer: ServerPeer, asked: Message) -> None:
        uid = _take(ledger, asked)
        peer.send_message(response(asked))
        # PS3.4 §J.3.3: the result comes as an event, on the same association here.
        ledger.sent("N-EVENT-REPORT", uid)
        more: dict[int, int | str | bytes] = {Tag.AFFECTED_SOP_INSTANCE: uid, Tag.EVENT_TYPE: 1}
        report = request(
            Command.N_EVENT_REPORT,
            1,
            STORAGE_COMMITMENT,
            data=content(uid, size_of(uid)),
            context_id=COMMITMENT,
            more=more,
        )
        answer = peer.exchange(report)
        if answer.status == 0:
            ledger.answered("N-EVENT-REPORT", uid)
        else:
            ledger.failed(f"N-EVENT-REPORT: status {answer.status:04X}")

    return {Command.N_CREATE: perform, Command.N_SET: perform, Command.N_ACTION: commit}


def step_study(size: int = 4_000) -> Study:
    """Return a study that creates a procedure step and completes it."""

    def step(modality: Modality, client: Client, study: int) -> None:
        uid = instance_uid(modality.number, study, 1, size)
        _ask(modality, client, uid, Command.N_CREATE, {Tag.AFFECTED_SOP_INSTANCE: uid})
        _ask(modality, client, uid, Command.N_SET, {Tag.REQUESTED_SOP_INSTANCE: uid})

    return step


def commitment_study(size: int = 200_000) -> Study:
    """Return a study that asks for storage commitment and waits for the report."""

    def commitment(modality: Modality, client: Client, study: int) -> None:
        uid = instance_uid(modality.number, study, 1, size)
        _ask(modality, client, uid, Command.N_ACTION, {Tag.REQUESTED_SOP_INSTANCE: uid, Tag.ACTION_TYPE: 1})
        report = client.receive_message()
        client.received.clear()
        assert report.field == Command.N_EVENT_REPORT, f"command {report.field:04X} instead of a report"
        assert _take(modality.ledger, report) == uid, "the report of another transaction"
        client.send_message(response(report))

    return commitment


def _ask(
    modality: Modality,
    client: Client,
    uid: str,
    command: Command,
    more: Mapping[int, int | str | bytes],
) -> None:
    """Send a request with a data set and book the answer."""
    name = _NAMES[command]
    sop_class, context_id = (STORAGE_COMMITMENT, COMMITMENT) if command is Command.N_ACTION else (MPPS, STEP)
    began = modality.begin(name, uid)
    asked = request(command, 1, sop_class, data=content(uid, size_of(uid)), context_id=context_id, more=more)
    status = client.exchange(asked).status
    client.received.clear()
    if status:
        modality.failed(f"{name}: status {status:04X}")
    else:
        modality.succeeded(name, began, uid)
