"""A modality that asks for storage commitment, and takes the reports."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import time
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from tests.durable.site import ARCHIVE, PATIENCE, Site, store
from tests.support.files import DicomFile
from tests.support.pynet import entity, scp, scu
from tests.support.wire import CT_STORAGE

MODALITY = "CT1"
_RESPONSE = bytes.fromhex("00000001 02000000 0081")
"""The command field of an N-EVENT-REPORT-RSP."""


@dataclass(frozen=True, slots=True)
class Report:
    """An N-EVENT-REPORT as the modality got it."""

    event_type: int
    transaction: str
    committed: list[str]
    failed: dict[str, int]
    called_back_by: str
    """The AE title that has called; nothing: it came on the association that asked."""


@dataclass(slots=True)
class Reports:
    """The reports that a modality got, and the status that it answers."""

    status: int = 0
    got: list[Report] = field(default_factory=list)
    answered: int = 0
    """Of those, the ones whose response is sent."""
    changed: threading.Condition = field(default_factory=threading.Condition)

    def handle(self, event: Event) -> tuple[int, None]:
        """Take a report."""
        information = event.event_information
        is_acceptor = event.assoc.is_acceptor
        report = Report(
            event.event_type or 0,
            str(information.TransactionUID),
            [str(item.ReferencedSOPInstanceUID) for item in information.get("ReferencedSOPSequence", ())],
            {
                str(item.ReferencedSOPInstanceUID): int(item.FailureReason)
                for item in information.get("FailedSOPSequence", ())
            },
            str(event.assoc.requestor.ae_title) if is_acceptor else "",
        )
        with self.changed:
            self.got.append(report)
        return self.status, None

    def sent(self, event: Event) -> None:
        """Note what is sent: a response that an association has yet to send breaks pynetdicom when it is released."""
        pdu = event.pdu
        if isinstance(pdu, P_DATA_TF) and any(
            _RESPONSE in (item.presentation_data_value or b"") for item in pdu.presentation_data_value_items
        ):
            with self.changed:
                self.answered += 1
                self.changed.notify_all()

    def wait_for(self, count: int = 1, *, timeout: float = PATIENCE) -> Report:
        """Return the newest once so many are answered."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.answered >= count, timeout), "no report"
            return self.got[-1]

    @property
    def handlers(self) -> list[tuple[evt.EventType, object]]:
        return [(evt.EVT_N_EVENT_REPORT, self.handle), (evt.EVT_PDU_SENT, self.sent)]


@contextmanager
def listening(reports: Reports, port: int) -> Iterator[None]:
    """Be the modality's own listener."""
    ae = entity(MODALITY)
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    with scp(ae, reports.handlers, port=port):  # type: ignore[arg-type] # pynetdicom's own types
        yield


@contextmanager
def asking(
    where: Site, reports: Reports, *, calling: str = MODALITY, called: str = ARCHIVE
) -> Iterator[Association]:
    """Associate for storage commitment."""
    ae = entity(calling)
    ae.add_requested_context(StorageCommitmentPushModel)
    with scu(ae, where.entry, called=called, handlers=reports.handlers) as assoc:  # type: ignore[arg-type]
        assert assoc.is_established
        yield assoc


def ask(assoc: Association, wanted: list[tuple[str, str]], *, action_type: int = 1) -> tuple[Dataset, str]:
    """Send an N-ACTION; return the status and the transaction."""
    information, items = Dataset(), []
    for sop_class, sop_instance in wanted:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
        items.append(item)
    information.TransactionUID, information.ReferencedSOPSequence = generate_uid(), items
    status, _ = assoc.send_n_action(
        information, action_type, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    return status, str(information.TransactionUID)


def stored(where: Site, contents: list[DicomFile], *, called: str = ARCHIVE) -> list[tuple[str, str]]:
    """Store objects; return what is to be asked for."""
    with where.open(calling=MODALITY, called=called) as client:
        for content in contents:
            assert store(client, content) == 0
        client.release()
    return [(CT_STORAGE, content.sop_instance) for content in contents]
