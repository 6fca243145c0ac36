"""What is to be said of each instance of a request for storage commitment. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dimse_mesh.dimse import Status
from dimse_mesh.dimse.commitment import CommitmentAction, CommitmentResult, Reference
from dimse_mesh.schemas.commitment import Fate, Receipt

_REASONS = {
    "no-presentation-context": Status.SOP_CLASS_NOT_SUPPORTED,
    "sop-class-not-supported": Status.SOP_CLASS_NOT_SUPPORTED,
    "out-of-resources": Status.RESOURCE_LIMITATION,
}
"""Failure reasons (PS3.3 §C.14.1.1) of dead letters, by cause; of others: processing failure."""


@dataclass(frozen=True, slots=True)
class Fates:
    """What is known of a request's instances at one destination.

    Attributes:
        receipts: by SOP Instance UID.
        settled: whether nothing waits there any more that was received before the request; before the hooks, where
            there are hooks.
        before_hooks: receipts of the hooks: what they have passed on is delivered to the queue behind them.
    """

    receipts: Mapping[str, Receipt]
    settled: bool
    before_hooks: Mapping[str, Receipt] = field(default_factory=dict)
    holders: Mapping[str, str] = field(default_factory=dict)
    """The destination that each receipt is of: another one where an operator has redirected the instance."""

    def receipt(self, sop_instance: str) -> Receipt | None:
        """Return the last that is known of an instance; None: nothing, or that it has just passed the hooks."""
        return self.receipts.get(sop_instance) or (
            None if self._has_passed(sop_instance) else self.before_hooks.get(sop_instance)
        )

    def is_under_way(self, sop_instance: str) -> bool:
        """Tell whether an instance waits elsewhere: behind the hooks, or where an operator has sent it."""
        receipt = self.receipts.get(sop_instance)
        if receipt is None:
            return self._has_passed(sop_instance)
        return receipt.fate is Fate.REDIRECTED

    def _has_passed(self, sop_instance: str) -> bool:
        earlier = self.before_hooks.get(sop_instance)
        return earlier is not None and earlier.fate is Fate.DELIVERED


def redirected(receipts: Mapping[str, Receipt]) -> dict[str, list[str]]:
    """Return the instances that an operator has sent elsewhere, by the destination that has them now."""
    found: dict[str, list[str]] = {}
    for sop_instance, receipt in receipts.items():
        if receipt.fate is Fate.REDIRECTED:
            found.setdefault(receipt.redirected_to, []).append(sop_instance)
    return found


def to_be_confirmed(result: CommitmentResult, fates: Fates) -> dict[str, dict[str, Reference]]:
    """Return which instances a destination is asked for: by destination, then by SOP Instance UID, as it has them.

    Those are the committed ones: of the others it is known already that they failed.
    """
    wanted: dict[str, dict[str, Reference]] = {}
    for reference in result.committed:
        receipt = fates.receipts.get(reference.sop_instance)
        if receipt is None:
            continue
        stored = reference if receipt.stored_as is None else Reference(*receipt.stored_as)
        holder = fates.holders[reference.sop_instance]
        wanted.setdefault(holder, {})[reference.sop_instance] = stored
    return wanted


def without(result: CommitmentResult, failed: Mapping[str, int]) -> CommitmentResult:
    """Return a result in which some instances have failed, too: by SOP Instance UID, with their reasons."""
    return CommitmentResult(
        result.transaction,
        tuple(each for each in result.committed if each.sop_instance not in failed),
        (
            *result.failed,
            *((each, failed[each.sop_instance]) for each in result.committed if each.sop_instance in failed),
        ),
    )


def not_confirmed(asked: Mapping[str, Reference], report: CommitmentResult) -> dict[str, int]:
    """Return which instances a destination's report doesn't commit it to, with its reasons.

    Args:
        asked: by the SOP Instance UID that the requestor knows, as the destination has them.
    """
    committed = {each.sop_instance for each in report.committed}
    reasons = {each.sop_instance: reason for each, reason in report.failed}
    return {
        known: reasons.get(stored.sop_instance) or Status.PROCESSING_FAILURE
        for known, stored in asked.items()
        if stored.sop_instance not in committed or stored.sop_instance in reasons
    }


def decide(action: CommitmentAction, fates: Sequence[Fates], *, is_over: bool) -> CommitmentResult | None:
    """Return what is to be reported; None: something still waits.

    An instance is committed when every destination has it. That one is lost, or was never there, is said only when
    no destination has anything before the request that waits: it may be there a second time. What was redirected is
    waited for, until the other destination has settled it.

    Args:
        fates: at each destination.
        is_over: say of what still waits that it failed.
    """
    committed: list[Reference] = []
    failed: list[tuple[Reference, int]] = []
    for reference in action.references:
        reason = _reason(reference, fates)
        if reason is None:
            committed.append(reference)
        elif is_over or not any(
            each.is_under_way(reference.sop_instance) or not each.settled for each in fates
        ):
            failed.append((reference, reason))
        else:
            return None
    return CommitmentResult(action.transaction, tuple(committed), tuple(failed))


def _reason(reference: Reference, fates: Sequence[Fates]) -> int | None:
    """Return why an instance is not committed; None: it is."""
    for each in fates:
        receipt = each.receipt(reference.sop_instance)
        if receipt is None:
            waits = not each.settled or each.is_under_way(reference.sop_instance)
            return Status.PROCESSING_FAILURE if waits else Status.NO_SUCH_SOP_INSTANCE
        if receipt.sop_class != reference.sop_class:
            return Status.CLASS_INSTANCE_CONFLICT
        if receipt.fate is not Fate.DELIVERED:
            return _REASONS.get(receipt.cause, Status.PROCESSING_FAILURE)
    return None if fates else Status.NO_SUCH_SOP_INSTANCE
