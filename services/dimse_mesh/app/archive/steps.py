"""Modality performed procedure steps (PS3.4 Annex F): N-CREATE, N-SET, and N-GET to read one back."""

from __future__ import annotations

import threading

from pydicom.dataset import Dataset
from pynetdicom.dimse_primitives import N_CREATE, N_GET, N_SET
from pynetdicom.events import Event

SUCCESS = 0x0000
INVALID_ATTRIBUTE_VALUE = 0x0106
PROCESSING_FAILURE = 0x0110
DUPLICATE_SOP_INSTANCE = 0x0111
NO_SUCH_SOP_INSTANCE = 0x0112
IN_PROGRESS = "IN PROGRESS"
FINAL = frozenset(("COMPLETED", "DISCONTINUED"))


class ProcedureSteps:
    """The steps, by SOP instance."""

    def __init__(self) -> None:
        self._steps: dict[str, Dataset] = {}
        self._lock = threading.Lock()

    def create(self, event: Event) -> tuple[int, Dataset | None]:
        """Create a step, which must be in progress (PS3.4 §F.7.2.1)."""
        assert isinstance(event.request, N_CREATE)
        uid, step = str(event.request.AffectedSOPInstanceUID), event.attribute_list
        if step.get("PerformedProcedureStepStatus") != IN_PROGRESS:
            return INVALID_ATTRIBUTE_VALUE, None
        with self._lock:
            if uid in self._steps:
                return DUPLICATE_SOP_INSTANCE, None
            self._steps[uid] = step
        return SUCCESS, step

    def modify(self, event: Event) -> tuple[int, Dataset | None]:
        """Change a step, unless it has ended (PS3.4 §F.7.2.2)."""
        assert isinstance(event.request, N_SET)
        changes = event.modification_list
        if changes.get("PerformedProcedureStepStatus", IN_PROGRESS) not in FINAL | {IN_PROGRESS}:
            return INVALID_ATTRIBUTE_VALUE, None
        with self._lock:
            step = self._steps.get(str(event.request.RequestedSOPInstanceUID))
            if step is None:
                return NO_SUCH_SOP_INSTANCE, None
            if step.PerformedProcedureStepStatus in FINAL:
                return PROCESSING_FAILURE, None
            step.update(changes)
        return SUCCESS, changes

    def get(self, event: Event) -> tuple[int, Dataset | None]:
        """Return a step, or those of its attributes that are asked for (PS3.4 §F.8)."""
        assert isinstance(event.request, N_GET)
        wanted = event.attribute_identifiers
        with self._lock:
            step = self._steps.get(str(event.request.RequestedSOPInstanceUID))
            if step is None:
                return NO_SUCH_SOP_INSTANCE, None
            answer = Dataset()
            answer.update({element.tag: element for element in step if not wanted or element.tag in wanted})
        return SUCCESS, answer
