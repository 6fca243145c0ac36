"""C-STORE: data sets are kept byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.events import Event

from dimse_mesh.app.archive.catalog import Catalog, describe

PREAMBLE = bytes(128) + b"DICM"
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000


class Storage:
    """Stores under `folder` and tells of each object on standard output."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self._folder = folder
        self._catalog = catalog
        self._count = 0

    def store(self, event: Event) -> int:
        """Keep the data set of a C-STORE request as it came."""
        request = event.request
        assert isinstance(request, C_STORE)
        data = b"" if request.DataSet is None else request.DataSet.getvalue()
        self._count += 1
        # Never a UID in a path: it comes from the peer.
        path = self._folder / f"{self._count:05}.dcm"
        try:
            path.write_bytes(PREAMBLE + encode_file_meta(event.file_meta) + data)
        except OSError:
            return OUT_OF_RESOURCES
        try:
            described = describe(
                path,
                str(request.AffectedSOPClassUID),
                str(request.AffectedSOPInstanceUID),
                event.context.transfer_syntax,
            )
        except Exception:  # noqa: BLE001 - pydicom has no exception of its own for damaged data
            path.unlink()
            return CANNOT_UNDERSTAND
        self._catalog.add(described)
        digest = hashlib.sha256(data).hexdigest()
        print(described.sop_instance, described.transfer_syntax, len(data), digest, path.name, flush=True)
        return 0
