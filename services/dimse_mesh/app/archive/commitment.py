"""Storage commitment (PS3.4 Annex J): N-ACTION asks, N-EVENT-REPORT says what is really here.

The report goes out on the association that asked, in the reverse role, if that is still there a little later; else
on a new one to the AE that asked.
"""

from __future__ import annotations

import logging
import threading

from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, build_role
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import time
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from dimse_mesh.app.archive.catalog import Catalog

log = logging.getLogger(__name__)

SUCCESS = 0x0000
NO_SUCH_SOP_INSTANCE = 0x0112
NO_SUCH_ACTION_TYPE = 0x0123
INVALID_ARGUMENT_VALUE = 0x0115
COMMITTED, NOT_ALL_COMMITTED = 1, 2
LINGERS = 0.3
"""Seconds after which an association that is still there gets the report."""


class Commitment:
    """Answers requests, and reports from a thread of its own for each."""

    def __init__(self, entity: AE, catalog: Catalog, callback: tuple[str, int]) -> None:
        self._entity = entity
        self._catalog = catalog
        self._callback = callback

    def request(self, event: Event) -> tuple[int, Dataset | None]:
        """Take a request to commit (PS3.4 §J.3.2)."""
        assert isinstance(event.request, N_ACTION)
        if event.request.ActionTypeID != 1:
            return NO_SUCH_ACTION_TYPE, None
        wanted = event.action_information
        if "TransactionUID" not in wanted or "ReferencedSOPSequence" not in wanted:
            return INVALID_ARGUMENT_VALUE, None
        threading.Thread(target=self._report, args=(event.assoc, wanted), daemon=True).start()
        return SUCCESS, None

    def _report(self, asked_on: Association, wanted: Dataset) -> None:
        information = self._information(wanted)
        asked_on.join(LINGERS)
        if asked_on.is_established and _send(asked_on, information):
            return
        requester = str(asked_on.requestor.ae_title)
        association = self._entity.associate(
            *self._callback,
            ae_title=requester,
            contexts=[build_context(StorageCommitmentPushModel)],
            ext_neg=[build_role(StorageCommitmentPushModel, scp_role=True)],
        )
        if association.is_established:
            _send(association, information)
            association.release()
        else:
            log.error("no association with %s for a commitment's report", requester)

    def _information(self, wanted: Dataset) -> Dataset:
        committed, failed = [], []
        for reference in wanted.ReferencedSOPSequence:
            item = Dataset()
            item.ReferencedSOPClassUID = reference.ReferencedSOPClassUID
            item.ReferencedSOPInstanceUID = reference.ReferencedSOPInstanceUID
            stored = self._catalog.get(str(reference.ReferencedSOPInstanceUID))
            if stored is not None and stored.path.exists():
                committed.append(item)
            else:
                item.FailureReason = NO_SUCH_SOP_INSTANCE
                failed.append(item)
        information = Dataset()
        information.TransactionUID = wanted.TransactionUID
        if committed:
            information.ReferencedSOPSequence = committed
        if failed:
            information.FailedSOPSequence = failed
        return information


def _send(association: Association, information: Dataset) -> bool:
    event_type = NOT_ALL_COMMITTED if "FailedSOPSequence" in information else COMMITTED
    try:
        status, _ = association.send_n_event_report(
            information, event_type, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
    except (RuntimeError, ValueError):
        return False
    return "Status" in status
