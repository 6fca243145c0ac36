"""A manifest as a front-end writes it."""

from __future__ import annotations

from dimse_mesh.schemas.spool import Manifest


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
