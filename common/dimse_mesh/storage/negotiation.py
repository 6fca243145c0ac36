"""What a place accepts of an association: every storage class in the client's first transfer syntax, and C-ECHO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dimse_mesh.dimse.requests import VERIFICATION_SOP_CLASS
from dimse_mesh.dimse.storage_classes import is_storage
from dimse_mesh.endpoint.own import answer_to
from dimse_mesh.upper_layer import (
    AssociateAC,
    AssociateRQ,
    ContextResult,
    PresentationContextAC,
    RoleSelection,
    significant_uid,
)


class AcceptedContext(NamedTuple):
    """What an accepted presentation context is for."""

    sop_class: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The answer, and the contexts in it that were accepted."""

    answer: AssociateAC
    contexts: dict[int, AcceptedContext]


def accept(request: AssociateRQ, *, maximum_length: int) -> Negotiated:
    """Answer an A-ASSOCIATE-RQ (PS3.8 §9.3.3).

    A client that is to receive objects (as in C-GET, PS3.7 §D.3.3.4) finds nothing here.
    """
    receives = {
        significant_uid(role.sop_class_uid)
        for role in request.user_items(RoleSelection)
        if role.scp_role and not role.scu_role
    }
    answers: list[PresentationContextAC] = []
    contexts: dict[int, AcceptedContext] = {}
    for context in request.presentation_contexts:
        uid = significant_uid(context.abstract_syntax)
        syntax = context.transfer_syntaxes[0] if context.transfer_syntaxes else ""
        wanted = uid == VERIFICATION_SOP_CLASS or (is_storage(uid) and uid not in receives)
        if not wanted:
            result = ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
        elif not significant_uid(syntax):
            result = ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED
        else:
            result = ContextResult.ACCEPTANCE
            contexts[context.context_id] = AcceptedContext(uid, significant_uid(syntax))
        answers.append(PresentationContextAC(context.context_id, result, syntax))
    roles = [
        RoleSelection(role.sop_class_uid, scu_role=role.scu_role, scp_role=0)
        for role in request.user_items(RoleSelection)
    ]
    answer = answer_to(request, contexts=answers, maximum_length=maximum_length, roles=roles)
    return Negotiated(answer, contexts)
