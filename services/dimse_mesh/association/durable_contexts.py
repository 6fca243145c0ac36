"""Which presentation contexts a front-end accepts by itself, on a durable route. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from dimse_mesh.dimse.commitment import COMMITMENT_SYNTAXES, STORAGE_COMMITMENT
from dimse_mesh.dimse.requests import VERIFICATION_SOP_CLASS
from dimse_mesh.dimse.storage_classes import is_storage
from dimse_mesh.runtime.routing import Accepts
from dimse_mesh.schemas.spool import KnownContext
from dimse_mesh.upper_layer import (
    LONGEST_UID,
    AssociateRQ,
    ContextResult,
    PresentationContextAC,
    PresentationContextRQ,
    RoleSelection,
    significant_uid,
)

_ANSWERED_HERE = frozenset((VERIFICATION_SOP_CLASS, STORAGE_COMMITMENT))
_GET = frozenset(f"1.2.840.10008.5.1.4.1.2.{model}.3" for model in range(1, 6))
"""Query/Retrieve by C-GET (PS3.4 §C.6, Annexes Y and Z)."""
_PLAINEST = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
"""Explicit and implicit VR little endian: what a destination takes most probably (PS3.5 §10.1 asks for the second)."""

Known = Callable[[str, str], KnownContext | None]
"""What is known of one SOP class in one transfer syntax."""


def stored_contexts(request: AssociateRQ) -> list[PresentationContextRQ]:
    """Return the contexts on which the client wants to store: as an SCU, of a storage class.

    A client that retrieves by C-GET proposes storage classes too, as their SCP (PS3.7 §D.3.3.4).
    """
    as_scp = {
        significant_uid(role.sop_class_uid)
        for role in request.user_items(RoleSelection)
        if role.scp_role and not role.scu_role
    }
    return [
        context
        for context in request.presentation_contexts
        if is_storage(context.abstract_syntax)
        and significant_uid(context.abstract_syntax) not in as_scp
        and has_uid_length(context.abstract_syntax, *context.transfer_syntaxes)
    ]


def asks_for_commitment(request: AssociateRQ) -> bool:
    """Tell whether the client may ask for storage commitment: it proposes that as an SCU (PS3.4 §J.2.2)."""
    if any(
        significant_uid(role.sop_class_uid) == STORAGE_COMMITMENT and role.scp_role and not role.scu_role
        for role in request.user_items(RoleSelection)
    ):
        return False  # it is the SCP, and calls back
    return any(
        significant_uid(context.abstract_syntax) == STORAGE_COMMITMENT
        for context in request.presentation_contexts
    )


def asks_for_nothing_else(request: AssociateRQ) -> bool:
    """Tell whether storage commitment is all that the client proposes, beside Verification."""
    return all(
        significant_uid(context.abstract_syntax) in {STORAGE_COMMITMENT, VERIFICATION_SOP_CLASS}
        for context in request.presentation_contexts
    )


def other_contexts(request: AssociateRQ) -> list[PresentationContextRQ]:
    """Return the contexts of services that only the destination itself can offer.

    C-GET is none of them: its sub-operations come on contexts of storage classes, of which the client is the SCU here.
    """
    return [
        context
        for context in request.presentation_contexts
        if context.transfer_syntaxes
        and has_uid_length(context.abstract_syntax, *context.transfer_syntaxes)
        and not is_storage(context.abstract_syntax)
        and significant_uid(context.abstract_syntax) not in _ANSWERED_HERE | _GET
    ]


def has_uid_length(*uids: str) -> bool:
    """Tell whether each has between 1 and 64 characters (PS3.5 §9.1): only such can be asked for and kept."""
    return all(1 <= len(significant_uid(uid)) <= LONGEST_UID for uid in uids)


def pairs_of(contexts: Iterable[PresentationContextRQ]) -> list[tuple[str, str]]:
    """Return each SOP class with each transfer syntax that is proposed for it, once."""
    return list(
        dict.fromkeys(
            (significant_uid(context.abstract_syntax), significant_uid(syntax))
            for context in contexts
            for syntax in context.transfer_syntaxes
        )
    )


def answer_contexts(
    request: AssociateRQ,
    *,
    known: Known,
    configured: tuple[Accepts, ...] | None,
    commitment: bool,
    live: Mapping[int, PresentationContextAC],
) -> list[PresentationContextAC]:
    """Return the results of a client's presentation contexts (PS3.8 §9.3.3.2).

    A storage class gets the first syntax that the client names and the destination takes: by configuration if there
    is one, else by what it has said. Of what it never was asked the plainest syntax is taken, in which it probably
    takes it.

    Args:
        known: what the destination has said.
        configured: what it accepts by configuration.
        commitment: whether storage commitment is offered.
        live: what the destination itself answers to contexts of other services, by id.
    """
    commitment = commitment and asks_for_commitment(request)
    stored = {context.context_id for context in stored_contexts(request)}
    answers: list[PresentationContextAC] = []
    for context in request.presentation_contexts:
        uid = significant_uid(context.abstract_syntax)
        if context.context_id in stored:
            answers.append(_answer(context, uid, known, configured))
        elif uid == VERIFICATION_SOP_CLASS and context.transfer_syntaxes:
            answers.append(_accepted(context, context.transfer_syntaxes[0]))
        elif uid == STORAGE_COMMITMENT and commitment:
            answers.append(_commitment(context))
        else:
            rejected = _rejected(context, ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED)
            answers.append(live.get(context.context_id, rejected))
    return answers


def _answer(
    context: PresentationContextRQ, uid: str, known: Known, configured: tuple[Accepts, ...] | None
) -> PresentationContextAC:
    if configured is not None:
        rules = [rule for rule in configured if fnmatchcase(uid, rule.sop_class)]
        if not rules:
            return _rejected(context, ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED)
        taken = {syntax for rule in rules for syntax in rule.transfer_syntaxes}
        for syntax in context.transfer_syntaxes:
            if significant_uid(syntax) in taken:
                return _accepted(context, syntax)
        return _rejected(context, ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED)
    unknown: list[str] = []
    result = ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED.value
    for syntax in context.transfer_syntaxes:
        word = known(uid, significant_uid(syntax))
        if word is None:
            unknown.append(syntax)
        elif word.accepted:
            return _accepted(context, syntax)
        else:
            result = word.result
    if not unknown:
        return _rejected(context, result)
    plain = [syntax for syntax in unknown if significant_uid(syntax) in _PLAINEST]
    return _accepted(context, plain[0] if plain else unknown[0])


def _commitment(context: PresentationContextRQ) -> PresentationContextAC:
    for syntax in context.transfer_syntaxes:
        if significant_uid(syntax) in COMMITMENT_SYNTAXES:
            return _accepted(context, syntax)
    return _rejected(context, ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED)


def _accepted(context: PresentationContextRQ, syntax: str) -> PresentationContextAC:
    return PresentationContextAC(context.context_id, ContextResult.ACCEPTANCE, syntax)


def _rejected(context: PresentationContextRQ, result: int) -> PresentationContextAC:
    syntax = context.transfer_syntaxes[0] if context.transfer_syntaxes else ""
    return PresentationContextAC(context.context_id, result, syntax)
