"""What we say of ourselves in A-ASSOCIATE, to either peer (PS3.7 §D.3.3.2). Never passed through."""

from __future__ import annotations

from typing import TypeVar

from dimse_mesh.upper_layer import AssociateAC, AssociateRQ

IMPLEMENTATION_CLASS_UID = "2.25.100001928275513651252664224887976969805"
"""From a UUID (PS3.5 §B.2), fixed for this product."""
IMPLEMENTATION_VERSION_NAME = "DIMSE_MESH_0.1"

ASSOCIATE_LIMIT = 256 * 1024
"""Longest A-ASSOCIATE PDU body accepted, in bytes: 128 presentation contexts with 20 syntaxes each."""

_AssociateT = TypeVar("_AssociateT", AssociateRQ, AssociateAC)


def with_own_items(pdu: _AssociateT, *, maximum_length: int) -> _AssociateT:
    """Replace the three user items that are ours alone; everything else stays as the other side sent it."""
    return pdu.replace_own(
        maximum_length=maximum_length,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
    )
