"""Other services on an association that stores: live while the destination is there, and never in the storing's way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import time
    ModalityPerformedProcedureStep,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from tests.durable.operator import numbers
from tests.durable.site import ARCHIVE, PATIENCE, Site, site
from tests.support.files import synthetic, write_file
from tests.support.pynet import entity, scp, scu
from tests.support.wire import CT_STORAGE, EXPLICIT_LE, IMPLICIT_LE

FIND, GET = StudyRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelGet
STUDIES = 300


@dataclass(slots=True)
class Pacs:
    """A destination that stores, answers queries and takes procedure steps."""

    stored: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    hangs: bool = False
    """Whether it leaves a query without an answer until its association ends."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    associations: list[Association] = field(default_factory=list)

    @contextmanager
    def serve(self, port: int) -> Iterator[None]:
        """Listen for the length of the block."""
        ae = entity(ARCHIVE)
        ae.add_supported_context(CT_STORAGE, [EXPLICIT_LE, IMPLICIT_LE])
        for sop_class in (FIND, GET, ModalityPerformedProcedureStep):
            ae.add_supported_context(sop_class)
        handlers = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_N_CREATE, self._create),
            (evt.EVT_ACCEPTED, lambda event: self.associations.append(event.assoc)),
        ]
        try:
            with scp(ae, handlers, port=port):
                yield
        finally:
            for association in self.associations:  # they don't end with the listener
                association.abort()

    def _store(self, event: Event) -> int:
        with self.changed:
            self.stored.append(str(event.dataset.SOPInstanceUID))
            self.changed.notify_all()
        return 0

    def _find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        if self.hangs:
            event.assoc.abort()
            return
        for number in range(STUDIES):
            found = Dataset()
            found.QueryRetrieveLevel, found.StudyInstanceUID = "STUDY", f"1.2.3.{number}"
            yield 0xFF00, found

    def _create(self, event: Event) -> tuple[int, Dataset]:
        self.steps.append(str(event.request.AffectedSOPInstanceUID))  # type: ignore[union-attr]
        return 0, event.attribute_list

    def wait_for(self, count: int) -> list[str]:
        """Return what was stored once there is so much."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.stored) >= count, PATIENCE)
            return list(self.stored)


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The hospital lets in the modalities of one network: that is decided once for an association, at the door."""
    modalities = {"effect": "permit", "peers": ["127.0.0.0/8"], "calling": "CT*"}
    policy = {"policy": {"admission": [modalities, {"effect": "deny"}]}}
    with site(tmp_path_factory.mktemp("others"), hospital=policy) as made:
        yield made


@pytest.fixture
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("files")
    return [str(write_file(folder / f"{number}.dcm", synthetic(number, 100_000))) for number in range(4)]


@contextmanager
def associated(where: Site) -> Iterator[Association]:
    """Associate for storing and for other services at once."""
    ae = entity("CT1")
    ae.add_requested_context(CT_STORAGE, EXPLICIT_LE)
    for sop_class in (FIND, GET, ModalityPerformedProcedureStep):
        ae.add_requested_context(sop_class)
    with scu(ae, where.entry, called=ARCHIVE) as association:
        assert association.is_established
        yield association


def accepted(association: Association) -> set[str]:
    return {str(context.abstract_syntax) for context in association.accepted_contexts}


def found(association: Association) -> tuple[int, int]:
    """Query; return how many studies came, and the last status."""
    query = Dataset()
    query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", ""
    answers = list(association.send_c_find(query, FIND))
    return sum(1 for _, dataset in answers if dataset is not None), int(answers[-1][0].get("Status", -1))


def test_they_are_live_between_the_objects(where: Site, files: list[str]) -> None:
    pacs, step = Pacs(), Dataset()
    step.PerformedProcedureStepStatus = "IN PROGRESS"
    uid = generate_uid()
    with pacs.serve(where.port), associated(where) as association:
        assert accepted(association) == {CT_STORAGE, FIND, ModalityPerformedProcedureStep}
        for number, file in enumerate(files):
            assert association.send_c_store(file).Status == 0
            if number == 1:
                assert found(association) == (STUDIES, 0)
            if number == 2:
                status, created = association.send_n_create(step, ModalityPerformedProcedureStep, uid)
                assert status.Status == 0
                assert created is not None
                assert created.PerformedProcedureStepStatus == "IN PROGRESS"
        pacs.wait_for(len(files))
    assert pacs.steps == [uid]


def test_without_the_destination_they_are_rejected_and_storing_is_served(
    where: Site, files: list[str]
) -> None:
    with associated(where) as association:
        assert accepted(association) == {CT_STORAGE}
        assert {context.result for context in association.rejected_contexts} == {2, 3}
        for file in files:
            assert association.send_c_store(file).Status == 0
    assert numbers(where)["waiting"] == len(files)
    pacs = Pacs()
    with pacs.serve(where.port):
        pacs.wait_for(len(files))


def test_when_the_destination_goes_they_fail_and_storing_goes_on(where: Site, files: list[str]) -> None:
    pacs = Pacs(hangs=True)
    with pacs.serve(where.port), associated(where) as association:
        assert association.send_c_store(files[0]).Status == 0
        assert found(association) == (0, 0x0110)
        assert association.send_c_store(files[1]).Status == 0
        assert found(association)[0] == 0  # it is over for this association
        assert association.send_c_store(files[2]).Status == 0
        pacs.wait_for(3)
