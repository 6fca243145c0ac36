"""A hospital with a PACS, a cloud with a viewer, `dimse-mesh priors` in the cloud: real processes, pynetdicom peers."""

from __future__ import annotations

import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_context, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import time
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from dimse_mesh.app.archive.associations import PreparedEntity
from tests.durable.site import CONTEXTS, store
from tests.support import pynet
from tests.support.files import UID_ROOT, synthetic
from tests.support.forking import SERVICES
from tests.support.mesh import COMMAND, Ae, Mesh, zone_config
from tests.support.ports import reserve_port
from tests.support.process import Child, wait_until
from tests.support.scripted import Client
from tests.support.wire import EXPLICIT_LE, IMPLICIT_LE

PACS, VIEWER = "PACS", "VIEWER"
SYNTAXES = (EXPLICIT_LE, IMPLICIT_LE)
INSTANCES = 3
"""Of each prior."""
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Held:
    """A study that an archive has."""

    uid: str
    patient: str
    date: str
    modality: str = "CT"
    instances: int = INSTANCES
    body_part: str = ""


def study_uid(number: int) -> str:
    """Return the Study Instance UID of a study."""
    return f"{UID_ROOT}.{number}"


def _answers(identifier: Dataset, studies: list[Held]) -> Iterator[tuple[int, Dataset | None]]:
    """Answer C-FIND for a study, a patient, or the series of a study; as liberal with wildcards as the standard is."""
    uid, patient = str(identifier.get("StudyInstanceUID", "")), str(identifier.get("PatientID", ""))
    for study in studies:
        if (uid and uid != study.uid) or (patient and patient not in {study.patient, "*"}):
            continue
        answer = Dataset()
        answer.QueryRetrieveLevel = identifier.QueryRetrieveLevel
        answer.StudyInstanceUID = study.uid
        if identifier.QueryRetrieveLevel == "SERIES":
            answer.SeriesInstanceUID = f"{study.uid}.1"
            answer.BodyPartExamined = study.body_part
        else:
            answer.PatientID, answer.StudyDate = study.patient, study.date
            answer.ModalitiesInStudy = study.modality
            answer.NumberOfStudyRelatedInstances = study.instances
        yield 0xFF00, answer
    yield 0x0000, None


@dataclass(slots=True)
class Archive:
    """The PACS. It counts what it is asked to move.

    Attributes:
        begun, ended: C-MOVEs by study.
        slow: seconds for each object of a C-MOVE.
    """

    listener: int
    studies: dict[str, Held] = field(default_factory=dict)
    begun: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    finds: int = 0
    status: int = 0
    slow: float = 0.0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, *studies: Held) -> None:
        """Put studies into it."""
        self.studies.update((study.uid, study) for study in studies)

    def _find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        self.finds += 1
        if self.status:
            yield self.status, None
            return
        yield from _answers(event.identifier, list(self.studies.values()))

    def _move(self, event: Event) -> Iterator[Any]:
        study = self.studies[str(event.identifier.StudyInstanceUID)]
        with self.changed:
            self.begun[study.uid] += 1
            self.changed.notify_all()
        yield "127.0.0.1", self.listener, {"contexts": [build_context(CTImageStorage, list(SYNTAXES))]}
        yield study.instances
        for number in range(1, study.instances + 1):
            with self.changed:
                self.changed.wait(self.slow)
            yield 0xFF00, _object(study, number)
        with self.changed:
            self.ended[study.uid] += 1
            self.changed.notify_all()

    @contextmanager
    def running(self, port: int) -> Iterator[None]:
        """Serve."""
        ae = _entity(PACS)
        handlers: list[pynet.Handler] = [(evt.EVT_C_FIND, self._find), (evt.EVT_C_MOVE, self._move)]
        contexts = [
            (StudyRootQueryRetrieveInformationModelFind, SYNTAXES),
            (StudyRootQueryRetrieveInformationModelMove, SYNTAXES),
        ]
        with pynet.scp(ae, handlers, port=port, contexts=contexts):
            yield


@dataclass(slots=True)
class Viewer:
    """Where studies arrive; it may be asked what it has."""

    got: dict[str, set[str]] = field(default_factory=dict)
    """SOP Instance UIDs by study."""
    twice: int = 0
    known: dict[str, Held] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def _store(self, event: Event) -> int:
        item = event.dataset
        study = str(item.StudyInstanceUID)
        with self.changed:
            instances = self.got.setdefault(study, set())
            self.twice += item.SOPInstanceUID in instances
            instances.add(str(item.SOPInstanceUID))
            self.known[study] = Held(
                study, str(item.PatientID), str(item.StudyDate), str(item.Modality), len(instances)
            )
            self.changed.notify_all()
        return 0

    def _find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        with self.changed:
            known = list(self.known.values())
        yield from _answers(event.identifier, known)

    def has(self, study: str, instances: int = INSTANCES) -> bool:
        """Tell whether all of a study is here."""
        with self.changed:
            return len(self.got.get(study, ())) == instances

    @contextmanager
    def running(self, port: int) -> Iterator[None]:
        """Serve."""
        handlers: list[pynet.Handler] = [(evt.EVT_C_STORE, self._store), (evt.EVT_C_FIND, self._find)]
        contexts = [
            (CTImageStorage, SYNTAXES),
            (StudyRootQueryRetrieveInformationModelFind, SYNTAXES),
        ]
        with pynet.scp(_entity(VIEWER), handlers, port=port, contexts=contexts):
            yield


def _entity(title: str) -> PreparedEntity:
    ae = pynet.entity(title, timeout=60)
    ae.maximum_associations = 200
    return ae


def _object(study: Held, number: int) -> Dataset:
    item = Dataset()
    item.SOPClassUID = CTImageStorage
    item.SOPInstanceUID = UID(f"{study.uid}.1.{number}")
    item.StudyInstanceUID, item.SeriesInstanceUID = UID(study.uid), UID(f"{study.uid}.1")
    item.PatientID, item.StudyDate, item.Modality = study.patient, study.date, study.modality
    item.ensure_file_meta()
    assert item.file_meta is not None
    item.file_meta.TransferSyntaxUID = UID(EXPLICIT_LE)
    return item


@dataclass(slots=True)
class PriorsSite:
    """Everything that runs."""

    mesh: Mesh
    archive: Archive
    viewer: Viewer
    runs: int = 0
    child: Child | None = None

    @property
    def _where(self) -> list[str]:
        return [
            "--config",
            str(self.mesh.directory / "cloud.yaml"),
            "--nats",
            f"nats://127.0.0.1:{self.mesh.nats_port}",
        ]

    def start(self) -> Child:
        """Start `dimse-mesh priors run`."""
        self.runs += 1
        child = Child(
            [*COMMAND, "priors", "run", *self._where],
            log=self.mesh.directory / f"priors-{self.runs}.log",
            fork=SERVICES,
        )
        child.wait_for_line("^ready$", timeout=60)
        self.child = child
        return child

    def stop(self, *, kill: bool = False) -> None:
        """Stop it, or kill it."""
        child, self.child = self.child, None
        assert child is not None
        if kill:
            child.send_signal(signal.SIGKILL)
        child.stop(timeout=60)

    def waiting(self) -> int:
        """Return how many new studies wait."""
        path = self.mesh.directory / "priors.sqlite"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as state:
            (count,) = state.execute("SELECT COUNT(*) FROM arrivals WHERE state = 'waiting'").fetchone()
        return int(count)

    def now(self, study: str) -> Child:
        """Fetch the priors of one study by hand."""
        self.runs += 1
        child = Child(
            [*COMMAND, "priors", "now", "--study", study, *self._where],
            log=self.mesh.directory / f"priors-{self.runs}.log",
            fork=SERVICES,
        )
        wait_until(lambda: child.returncode is not None, "priors now ends", timeout=60)
        return child

    def arrive(
        self, number: int, *, patient: str, instances: int = 1, date: str = "20240229", first: int = 1
    ) -> str:
        """Store objects of a new study at the viewer, as a modality of the cloud; return the study's UID."""
        with Client.open(
            self.mesh.listeners["cloud"], called=VIEWER, calling="CT1", contexts=CONTEXTS, timeout=60
        ) as client:
            for instance in range(first, first + instances):
                content = synthetic(instance, 100, study=number, patient_id=patient)
                data = content.data.replace(b"20240229", date.encode())
                moved = type(content)(content.sop_class, content.sop_instance, content.transfer_syntax, data)
                assert store(client, moved, instance) == 0
            client.release()
        return study_uid(number)

    def wait_until(self, condition: Callable[[], bool], what: str, *, timeout: float = PATIENCE) -> None:
        """Wait for something that may take long on a busy machine."""
        wait_until(condition, what, timeout=timeout)


@contextmanager
def priors_site(directory: Path, rule: dict[str, Any] | None = None, **priors: Any) -> Iterator[PriorsSite]:
    """Start it all but `dimse-mesh priors`."""
    pacs_port, viewer_port, hospital, cloud = (reserve_port() for _ in range(4))
    section = {
        "rules": [{"pacs": PACS, "to": VIEWER, **(rule or {})}],
        "state": str(directory / "priors.sqlite"),
        "new_within_days": 36500,
        "per_minute": 100_000,
        "retry": 0.5,
        **priors,
    }
    configs = [
        zone_config("hospital", listener=hospital, remote_aes=[Ae(PACS, pacs_port, "hospital")]),
        zone_config(
            "cloud",
            listener=cloud,
            remote_aes=[Ae(VIEWER, viewer_port, "cloud")],
            more={"events": {"enabled": True}, "priors": section},
        ),
    ]
    archive, viewer = Archive(hospital), Viewer()
    with (
        Mesh.start(directory, configs) as mesh,
        archive.running(pacs_port),
        viewer.running(viewer_port),
    ):
        where = PriorsSite(mesh, archive, viewer)
        try:
            yield where
        finally:
            if where.child is not None:
                where.stop()
