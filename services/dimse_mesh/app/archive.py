"""The demo's archive: a pynetdicom storage SCP in its own process that keeps data sets byte for byte.

`python -m dimse_mesh.app.archive FOLDER [PORT]`: prints its port, then one line for each object stored: SOP
instance, transfer syntax, size and SHA-256 of the data set, file name. Ends when its standard input does.
"""

from __future__ import annotations

import hashlib
import logging
import socket
import sys
from pathlib import Path

from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.events import Event
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import time

AE_TITLE = "ARCHIVE"
PREAMBLE = bytes(128) + b"DICM"
OUT_OF_RESOURCES = 0xA700


def no_delay(event: Event) -> None:
    """Set TCP_NODELAY: with pynetdicom's default each small object costs a delayed ACK."""
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Archive:
    """Stores under `folder` and tells of each object on standard output."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def store(self, event: Event) -> int:
        """Keep the data set of a C-STORE request as it came."""
        request = event.request
        assert isinstance(request, C_STORE)
        data = b"" if request.DataSet is None else request.DataSet.getvalue()
        self._count += 1
        # Never a UID in a path: it comes from the peer.
        name = f"{self._count:05}.dcm"
        try:
            (self._folder / name).write_bytes(PREAMBLE + encode_file_meta(event.file_meta) + data)
        except OSError:
            return OUT_OF_RESOURCES
        digest = hashlib.sha256(data).hexdigest()
        syntax = event.context.transfer_syntax
        print(request.AffectedSOPInstanceUID, syntax, len(data), digest, name, flush=True)
        return 0


def serve(folder: Path, port: int) -> None:
    """Run until standard input ends."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    entity = AE(ae_title=AE_TITLE)
    entity.maximum_pdu_size = 0
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), AllTransferSyntaxes)
    entity.add_supported_context(Verification)
    server = entity.start_server(
        ("127.0.0.1", port),
        block=False,
        evt_handlers=[(evt.EVT_CONN_OPEN, no_delay), (evt.EVT_C_STORE, Archive(folder).store)],
    )
    assert server is not None
    assert server.socket is not None
    print(server.socket.getsockname()[1], flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
