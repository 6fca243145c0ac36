"""What we say of ourselves in A-ASSOCIATE, to either peer (PS3.7 §D.3.3.2). Never passed through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from dimse_mesh.upper_layer import AssociateAC, AssociateRQ, PresentationContextAC, RoleSelection

IMPLEMENTATION_CLASS_UID = "2.25.100001928275513651252664224887976969805"
"""From a UUID (PS3.5 §B.2), fixed for this product."""
IMPLEMENTATION_VERSION_NAME = "DIMSE_MESH_0.1"

ASSOCIATE_LIMIT = 256 * 1024
"""Longest A-ASSOCIATE PDU body accepted, in bytes: 128 presentation contexts with 20 syntaxes each."""

_ECHOED = "ECHOED"
"""Stands where the A-ASSOCIATE-AC repeats the titles of its request, whatever they are (PS3.8 §9.3.3)."""

_AssociateT = TypeVar("_AssociateT", AssociateRQ, AssociateAC)


def with_own_items(pdu: _AssociateT, *, maximum_length: int) -> _AssociateT:
    """Replace the three user items that are ours alone; everything else stays as the other side sent it."""
    return pdu.replace_own(
        maximum_length=maximum_length,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
    )


def answer_to(
    request: AssociateRQ,
    *,
    contexts: Iterable[PresentationContextAC],
    maximum_length: int,
    roles: Iterable[RoleSelection],
) -> AssociateAC:
    """Return the A-ASSOCIATE-AC by which we accept an association ourselves (PS3.8 §9.3.3).

    Args:
        contexts: the results of its presentation contexts.
        maximum_length: of a PDU body that we receive, in bytes.
        roles: that we accept.
    """
    answer = AssociateAC.build(
        called_ae=_ECHOED,
        calling_ae=_ECHOED,
        contexts=contexts,
        maximum_length=maximum_length,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
        user_items=roles,
    )
    return answer.with_ae_title_bytes(request.called_ae_bytes, request.calling_ae_bytes)
