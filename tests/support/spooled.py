"""A manifest as a front-end writes it, and an object as a delivery service reads it."""

from __future__ import annotations

from typing import Any

from dimse_mesh.dimse import store_request
from dimse_mesh.mesh import pack
from dimse_mesh.schemas.spool import Manifest
from dimse_mesh.spool import SpooledObject


def manifest(*, command_length: int) -> Manifest:
    """Return the manifest of a data set of seven bytes in one piece."""
    return Manifest(
        object_id="0" * 32,
        sop_class="1.2",
        sop_instance="1.2.3",
        transfer_syntax="1.2.840.10008.1.2.1",
        called_ae="ARCHIVE",
        calling_ae="CT1",
        study="0123456789abcdef",
        size=7,
        digest="ab" * 32,
        chunks=1,
        command_length=command_length,
        received=1.5,
        route=("*", "*"),
    )


def spooled_object() -> SpooledObject:
    """Return an object with a data set of seven bytes."""
    return SpooledObject(
        sequence=1,
        manifest=manifest(command_length=10),
        command=store_request(1, sop_class="1.2", sop_instance="1.2.3"),
        tail=memoryview(b"pixels!"),
        message=b"",
    )


def stored_manifest(**facts: Any) -> bytes:
    """Return the message of an object without a data set, as it stands in a spool."""
    command = store_request(1, sop_class="1.2", sop_instance="1.2.3").encode()
    without = {"chunks": 0, "shared": None, "receipt": False}
    told = manifest(command_length=len(command)).model_copy(update={**without, **facts})
    return pack(told, command)
