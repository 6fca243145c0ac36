"""One word, one meaning: docs/glossary.md explains what the bus says, and no class has another one's name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from dimse_mesh.schemas.event_subjects import event_interest
from dimse_mesh.schemas.events import EventKind
from dimse_mesh.schemas.frames import FrameKind
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects, StateKind, commitment_request
from dimse_mesh.schemas.subjects import Kind, ServiceSubjects

PAGE = Path("docs/glossary.md").read_text()


def explained(heading: str) -> set[str]:
    """Return the names in code in the first column of a section's table."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_every_frame_kind_is_explained() -> None:
    assert explained("Kinds of frames") == {kind.name for kind in FrameKind}


def test_every_token_of_a_subject_is_explained() -> None:
    services = ServiceSubjects("ROOT")
    subjects = [services.ae_open("AE").name, services.zone_open("ZONE").name]
    subjects += [
        services.operations("ZONE", service).name
        for service in (ServiceName.STORE, ServiceName.QUERY_RETRIEVE, ServiceName.N_SERVICE)
    ]
    for kind in DestinationKind:
        spool = SpoolSubjects("ROOT", "ZONE", kind, "AE")
        subjects += [*spool.interest, spool.spooled, spool.broken("*"), spool.released("*")]
        subjects += [spool.state(what) for what in StateKind]
        subjects += [spool.receipt(None), commitment_request("ROOT", "ZONE")]
    subjects += [event_interest("ROOT", "ZONE", kind) for kind in EventKind]
    tokens = {token for subject in subjects for token in subject.split(".")} - {"ROOT", "AE", "ZONE", "*"}
    assert explained("Tokens of subjects") == tokens | {kind.value for kind in Kind} | {"live", "dead", "i"}


def test_no_two_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for root in ("common", "schemas", "services"):
        for path in sorted(Path(root).rglob("*.py")):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(str(path))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
