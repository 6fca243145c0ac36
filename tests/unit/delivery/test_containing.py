"""A fault of ours while an object is delivered costs that object alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from dimse_mesh.delivery.containing import ContainingTaker
from dimse_mesh.delivery.outcomes import DeliveryCause, DeliveryOutcome, Scope
from dimse_mesh.mesh import MeshError
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects
from tests.support.spooled import spooled_object

SPOOL = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, "ARCHIVE")
OBJECT = spooled_object()


class FaultyTaker:
    """Fails with whatever it was made with."""

    is_open = True

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.aborted = False

    async def deliver(self, *_: object, **__: object) -> DeliveryOutcome:
        raise self._error

    async def close(self) -> None: ...

    def abort(self) -> None:
        self.aborted = True


async def pieces() -> AsyncIterator[bytes | memoryview]:
    yield b"pixels!"


def deliver(taker: ContainingTaker, attempts: int) -> DeliveryOutcome:
    async def main() -> DeliveryOutcome:
        return await taker.deliver(OBJECT, pieces(), attempts=attempts, ahead=())

    return anyio.run(main)


@pytest.mark.parametrize(
    "error", [KeyError("Doe^John"), RuntimeError(), ExceptionGroup("two", [ValueError()])]
)
def test_a_fault_of_ours_is_an_outcome_and_is_tried_again(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    faulty = FaultyTaker(error)
    taker = ContainingTaker(faulty, SPOOL)
    outcomes = [deliver(taker, attempts) for attempts in (1, 2, 3)]
    assert {outcome.cause for outcome in outcomes} == {DeliveryCause.INTERNAL_ERROR}
    assert [outcome.scope for outcome in outcomes] == [Scope.DESTINATION, Scope.DESTINATION, Scope.STUDY]
    assert faulty.aborted
    assert type(error).__name__ in outcomes[0].detail
    assert "Doe" not in outcomes[0].detail
    assert len(caplog.records) == 3


def test_a_spool_that_cannot_be_read_is_no_fault_of_an_object() -> None:
    faulty = FaultyTaker(MeshError("NATS is away"))
    with pytest.raises(MeshError):
        deliver(ContainingTaker(faulty, SPOOL), 1)
    assert not faulty.aborted
