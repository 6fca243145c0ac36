"""A store-and-forward relay as one writes it with pynetdicom: a baseline, TCP_NODELAY set on both sides.

    python -m tests.bench.pynet_relay LISTEN_PORT TARGET_PORT DIRECTORY

Each object is written to a file and acknowledged, then sent on by a thread that belongs to the association.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pynetdicom import evt
from pynetdicom.events import Event

from dimse_mesh.app.archive.associations import PreparedEntity
from tests.support.wire import CT_STORAGE, ENHANCED_CT_STORAGE, EXPLICIT_LE

CLASSES = (CT_STORAGE, ENHANCED_CT_STORAGE)


class Relay:
    """Receives, stores, forwards."""

    def __init__(self, target_port: int, directory: Path) -> None:
        self.target_port = target_port
        self.directory = directory
        self.queues: dict[int, queue.SimpleQueue[Path | None]] = {}
        self.count = 0

    def accepted(self, event: Event) -> None:
        """Start the forwarding thread of a new association."""
        pending: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self.queues[id(event.assoc)] = pending
        threading.Thread(target=self.forward, args=(pending,), daemon=True).start()

    def ended(self, event: Event) -> None:
        """Let the forwarding thread of an association end."""
        pending = self.queues.pop(id(event.assoc), None)
        if pending is not None:
            pending.put(None)

    def store(self, event: Event) -> int:
        """Write one object and queue it."""
        self.count += 1
        path = self.directory / f"{self.count}.dcm"
        path.write_bytes(event.encoded_dataset())
        self.queues[id(event.assoc)].put(path)
        return 0x0000

    def forward(self, pending: queue.SimpleQueue[Path | None]) -> None:
        """Send what is queued over an association of its own."""
        ae = PreparedEntity(ae_title="RELAY")
        for uid in CLASSES:
            ae.add_requested_context(uid, EXPLICIT_LE)
        assoc = ae.associate("127.0.0.1", self.target_port, ae_title="SINK")
        while (path := pending.get()) is not None:
            status = assoc.send_c_store(path)
            if not status or status.Status != 0:
                print(f"not forwarded: {status}", flush=True)
            path.unlink()
        assoc.release()


def main(listen_port: int, target_port: int, directory: Path) -> None:
    """Serve until the process is ended."""
    relay = Relay(target_port, directory)
    ae = PreparedEntity(ae_title="RELAY")
    ae.maximum_pdu_size = 131072
    ae.maximum_associations = 64
    for uid in (*CLASSES, "1.2.840.10008.1.1"):
        ae.add_supported_context(uid, [EXPLICIT_LE, "1.2.840.10008.1.2"])
    events: list[tuple[Any, Callable[[Event], Any]]] = [
        (evt.EVT_ACCEPTED, relay.accepted),
        (evt.EVT_RELEASED, relay.ended),
        (evt.EVT_ABORTED, relay.ended),
        (evt.EVT_C_STORE, relay.store),
    ]
    bound: list[Any] = list(events)
    ae.start_server(("127.0.0.1", listen_port), block=True, evt_handlers=bound)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
