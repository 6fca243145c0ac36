"""Two minor versions beside each other: instances are replaced one after the other, under load, and nothing fails."""

from __future__ import annotations

import sys
from pathlib import Path

from dimse_mesh.schemas.frames import FrameKind, iter_frames
from tests.compat.newer import ADDED_FIELD, ADDED_KIND, NEWER
from tests.fault.archive import CONTEXTS
from tests.fault.clients import find_study, store_study
from tests.fault.conftest import TARGET, ground
from tests.fault.ledger import Ledger
from tests.fault.load import at_work
from tests.fault.normalised import N_CONTEXTS, answers, step_study
from tests.support.process import wait_until
from tests.support.tap import Tap, Tapped

NEWER_COMMAND = (sys.executable, "-m", "tests.compat.newer", "run")
SERVICES = (
    ("cloud", "scu"),
    ("hospital", "store"),
    ("hospital", "association"),
    ("hospital", "query-retrieve"),
    ("hospital", "n-service"),
)
EACH_TIME = 20
"""C-STOREs that must succeed in each mixture."""


def test_a_mesh_is_upgraded_under_load_without_a_failure(tmp_path: Path) -> None:
    ledger = Ledger()
    reuse = {"association": {"reuse_port": True}}
    with (
        ground(tmp_path, *SERVICES, hospital=reuse) as where,
        where.archive(ledger, more=answers(ledger)),
        Tap(where.nats.port) as tap,
        at_work(
            where.entry,
            called=TARGET,
            ledger=ledger,
            clients=2,
            studies=[store_study(), find_study(50), step_study()],
            contexts=(*CONTEXTS, *N_CONTEXTS),
        ),
    ):
        for zone, service in SERVICES:
            (old,) = where.fleet.of(service)
            where.fleet.start(zone, service, command=NEWER_COMMAND)
            _some_more(ledger)
            assert where.fleet.retire(old) == 0, old.child.describe()
            _some_more(ledger)
        said = where.fleet.output()
    ledger.check()
    assert "dropped" not in said
    assert _speak_newer(tap.messages), "the newer instances have sent nothing of their own"


def _some_more(ledger: Ledger) -> None:
    before = ledger.done["C-STORE"]
    wait_until(lambda: ledger.done["C-STORE"] >= before + EACH_TIME, "C-STOREs in this mixture", timeout=60)


def _speak_newer(messages: list[Tapped]) -> bool:
    """Tell whether field, frame and version of the newer protocol have been seen on the wire."""
    fields = {m.subject.split(".")[1] for m in messages if ADDED_FIELD.encode() in m.payload}
    kinds = {
        frame.kind
        for message in messages
        if ".link." in message.subject
        for frame in iter_frames(message.payload)
    }
    spoken = any(f'"speaks":"{NEWER}"'.encode() in message.payload for message in messages)
    return {"live", "ae", "zone", "i"} <= fields and {ADDED_KIND, FrameKind.ACK} <= kinds and spoken
