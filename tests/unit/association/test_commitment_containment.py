"""A request for storage commitment that meets an error of ours keeps no other from being reported."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock, MagicMock, create_autospec

import anyio
import anyio.lowlevel
import pytest

from dimse_mesh.association import commitment
from dimse_mesh.association.commitment import Commitments
from dimse_mesh.association.commitment_report import Reporter
from dimse_mesh.dimse.commitment import CommitmentAction, CommitmentResult, Reference, encode_action
from dimse_mesh.mesh import StreamFull
from dimse_mesh.schemas.commitment import CommitmentRequest
from dimse_mesh.spool import CommitmentStore, PendingCommitment

EXPLICIT_LE = "1.2.840.10008.1.2.1"
ME = "hospital.association.one"
BAD, GOOD = "1.2.66", "1.2.77"


def pending(sequence: int, transaction: str) -> PendingCommitment:
    request = CommitmentRequest(
        request_id=f"{sequence:032x}",
        transfer_syntax=EXPLICIT_LE,
        called_ae="ARCHIVE",
        calling_ae="CT1",
        destinations=(),
        instances=1,
        received=time.time(),
        owner=ME,
    )
    action = CommitmentAction(transaction, (Reference("1.2.840.10008.5.1.4.1.1.2", "1.1"),))
    return PendingCommitment(sequence, request, encode_action(action, EXPLICIT_LE))


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("look", "a look at a request for storage commitment raised KeyError"),
        ("report", "the report of a storage commitment raised KeyError"),
        ("removal", "the report of a storage commitment raised KeyError"),
    ],
)
def test_the_others_are_reported(
    where: str, words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = [pending(1, BAD), pending(2, GOOD)]
    removed: list[str] = []
    reported: list[str] = []

    async def since(_: int) -> AsyncIterator[PendingCommitment]:
        for each in kept:
            yield each

    async def remove(which: PendingCommitment) -> None:
        if where == "removal" and which.request.request_id == kept[0].request.request_id:
            raise KeyError("removal")
        removed.append(which.request.request_id)

    def decide(action: CommitmentAction, *_: object, **__: object) -> CommitmentResult:
        if where == "look" and action.transaction == BAD:
            raise KeyError("look")
        return CommitmentResult(action.transaction, action.references)

    async def report(_: object, result: CommitmentResult, __: object) -> None:
        if where == "report" and result.transaction == BAD:
            raise KeyError("report")
        reported.append(result.transaction)

    async def confirm(_: object, result: CommitmentResult, *__: object, **___: object) -> object:
        return result, ""

    store = create_autospec(CommitmentStore, instance=True)
    store.since, store.remove, store.put = since, remove, AsyncMock(side_effect=[3, 4])
    context = MagicMock()
    context.settings.spool.commitment_age = 3600.0
    context.mesh.address.tokens, context.liveness.instances = ME, []
    monkeypatch.setattr(commitment, "CommitmentStore", lambda *_: store)
    monkeypatch.setattr(commitment, "Confirming", lambda *_: MagicMock(confirm=confirm))
    monkeypatch.setattr(commitment, "decide", decide)

    async def main() -> None:
        reporter = create_autospec(Reporter, instance=True)
        reporter.report = report
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Commitments(context, MagicMock(), reporter, []).run)
            with anyio.fail_after(10):
                while not (words in caplog.text and kept[1].request.request_id in removed):
                    await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    anyio.run(main)
    assert reported.count(GOOD) == 1
    assert kept[0].request.request_id not in removed


def test_one_whose_state_can_t_be_kept_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no room for what its destination says."""
    kept, removed, reported = pending(1, GOOD), list[str](), list[CommitmentResult]()

    async def since(_: int) -> AsyncIterator[PendingCommitment]:
        yield kept

    async def remove(which: PendingCommitment) -> None:
        removed.append(which.request.request_id)

    async def report(_: object, result: CommitmentResult, __: object) -> None:
        reported.append(result)

    store = create_autospec(CommitmentStore, instance=True)
    store.since, store.remove = since, remove
    store.put = AsyncMock(side_effect=[3, StreamFull("no room")])
    committed = CommitmentResult(GOOD, ())
    answers = AsyncMock(side_effect=[(None, "ARCHIVE: it can't be asked"), (committed, "")])
    context = MagicMock()
    context.settings.spool.commitment_age = 3600.0
    context.mesh.address.tokens, context.liveness.instances = ME, []
    monkeypatch.setattr(commitment, "CommitmentStore", lambda *_: store)
    monkeypatch.setattr(commitment, "Confirming", lambda *_: MagicMock(confirm=answers))
    monkeypatch.setattr(commitment, "decide", lambda *_, **__: committed)
    monkeypatch.setattr(commitment, "BRISK", 0.01)

    async def main() -> None:
        reporter = create_autospec(Reporter, instance=True)
        reporter.report = report
        commitments = Commitments(context, MagicMock(), reporter, [])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(commitments.run)
            with anyio.fail_after(10):
                while not removed:
                    await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    anyio.run(main)
    assert reported == [committed]
    assert store.put.await_count == 2
    assert "can't be kept: no room" in caplog.text
