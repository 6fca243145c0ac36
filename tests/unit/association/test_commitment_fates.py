"""What a request for storage commitment is answered, by what is known of its instances."""

from __future__ import annotations

import pytest

from dimse_mesh.association.commitment_fates import (
    Fates,
    decide,
    not_confirmed,
    redirected,
    to_be_confirmed,
    without,
)
from dimse_mesh.dimse.commitment import CommitmentAction, CommitmentResult, Reference
from dimse_mesh.schemas.commitment import Fate, Receipt

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
ONE, TWO = Reference(CT, "1.1"), Reference(CT, "1.2")


def receipts(*fates: tuple[Reference, Fate], cause: str = "", elsewhere: str = "") -> dict[str, Receipt]:
    return {
        reference.sop_instance: Receipt(
            sop_class=reference.sop_class,
            sop_instance=reference.sop_instance,
            fate=fate,
            cause=cause,
            redirected_to=elsewhere,
            at=0.0,
        )
        for reference, fate in fates
    }


def answer(
    *fates: Fates, asked: tuple[Reference, ...] = (ONE,), over: bool = False
) -> CommitmentResult | None:
    return decide(CommitmentAction("9", asked), fates, is_over=over)


BOTH = receipts((ONE, Fate.DELIVERED), (TWO, Fate.DELIVERED))
DEAD = receipts((ONE, Fate.FAILED), cause="failure-status")


def test_it_is_committed_as_soon_as_every_destination_has_it() -> None:
    assert answer(Fates(BOTH, settled=False), asked=(ONE, TWO)) == CommitmentResult("9", (ONE, TWO))
    assert answer(Fates(BOTH, settled=False), Fates({}, settled=False)) is None
    assert answer(Fates(BOTH, settled=True), Fates(BOTH, settled=True)) == CommitmentResult("9", (ONE,))


@pytest.mark.parametrize(
    ("known", "asked", "reason"),
    [
        ({}, ONE, 0x0112),
        (DEAD, ONE, 0x0110),
        (receipts((ONE, Fate.FAILED), cause="no-presentation-context"), ONE, 0x0122),
        (receipts((ONE, Fate.FAILED), cause="out-of-resources"), ONE, 0x0213),
        (receipts((ONE, Fate.DROPPED)), ONE, 0x0110),
        (BOTH, Reference(MR, ONE.sop_instance), 0x0119),
    ],
)
def test_a_failure_is_told_with_its_reason_when_nothing_waits_any_more(
    known: dict[str, Receipt], asked: Reference, reason: int
) -> None:
    assert answer(Fates(known, settled=False), asked=(asked,)) is None
    assert answer(Fates(known, settled=True), asked=(asked,)) == CommitmentResult("9", (), ((asked, reason),))


def test_one_instance_that_waits_holds_back_the_whole_report() -> None:
    assert answer(Fates(receipts((ONE, Fate.DELIVERED)), settled=False), asked=(ONE, TWO)) is None


def test_what_an_operator_has_sent_elsewhere_is_waited_for() -> None:
    known = receipts((ONE, Fate.REDIRECTED), elsewhere="OTHER")
    assert redirected(known) == {"OTHER": ["1.1"]}
    assert answer(Fates(known, settled=True)) is None


def test_what_hooks_have_passed_on_is_waited_for_and_what_they_failed_has_failed() -> None:
    passed, failed = receipts((ONE, Fate.DELIVERED)), receipts((ONE, Fate.FAILED), cause="hook-failed")
    assert answer(Fates({}, settled=True, before_hooks=passed)) is None
    assert answer(Fates(BOTH, settled=True, before_hooks=passed)) == CommitmentResult("9", (ONE,))
    assert answer(Fates({}, settled=True, before_hooks=failed)) == CommitmentResult("9", (), ((ONE, 0x0110),))


def test_what_still_waits_in_the_end_has_failed() -> None:
    assert answer(Fates({}, settled=False), over=True) == CommitmentResult("9", (), ((ONE, 0x0110),))


# --- the destination's own storage commitment

COMMITTED = CommitmentResult("9", (ONE, TWO))


def test_a_destination_is_asked_for_what_it_has_by_the_names_that_it_knows() -> None:
    stored = {
        uid: each.model_copy(update={"stored_as": (MR, f"2.{uid}")} if uid == TWO.sop_instance else {})
        for uid, each in BOTH.items()
    }
    fates = Fates(stored, settled=True, holders={ONE.sop_instance: "A", TWO.sop_instance: "B"})
    assert to_be_confirmed(COMMITTED, fates) == {
        "A": {ONE.sop_instance: ONE},
        "B": {TWO.sop_instance: Reference(MR, f"2.{TWO.sop_instance}")},
    }
    failed = CommitmentResult("9", (), ((ONE, 0x0110),))
    assert to_be_confirmed(failed, fates) == {}


@pytest.mark.parametrize(
    ("report", "missing"),
    [
        (CommitmentResult("1", (ONE, TWO)), {}),
        (CommitmentResult("1", (ONE,), ((TWO, 0x0213),)), {TWO.sop_instance: 0x0213}),
        (CommitmentResult("1", (ONE, TWO), ((TWO, 0x0112),)), {TWO.sop_instance: 0x0112}),
        (CommitmentResult("1", (ONE,), ((TWO, 0),)), {TWO.sop_instance: 0x0110}),
        (CommitmentResult("1", (TWO,)), {ONE.sop_instance: 0x0110}),
    ],
)
def test_what_a_destination_does_not_commit_itself_to_has_failed(
    report: CommitmentResult, missing: dict[str, int]
) -> None:
    asked = {each.sop_instance: each for each in (ONE, TWO)}
    assert not_confirmed(asked, report) == missing
    told = without(COMMITTED, missing)
    assert {each.sop_instance for each in told.committed} == asked.keys() - missing.keys()
    assert {each.sop_instance: reason for each, reason in told.failed} == missing
