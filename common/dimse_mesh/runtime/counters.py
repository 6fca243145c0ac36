"""What a process counts: plain numbers that the hot path increments, read by the metrics when asked.

Keys are codes of the standard or of ours, never AE titles, UIDs or text from a peer: so their number
stays bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Counts since the process started; only `associations_open` goes down."""

    associations_open: int = 0
    associations_total: int = 0
    """Accepted, since the start."""
    rejected: dict[tuple[int, int, int], int] = field(default_factory=dict)
    """Associations rejected, by (result, source, reason): PS3.8 §9.3.4."""
    operations: dict[tuple[str, str], int] = field(default_factory=dict)
    """Operations finished, by (DIMSE service, outcome): `success`, `warning`, `failure`, ..."""
    bytes_in: int = 0
    """Bytes read from DICOM peers."""
    bytes_out: int = 0
    """Bytes written to DICOM peers."""
    protocol_errors: dict[str, int] = field(default_factory=dict)
    """Associations ended by a peer's mistake, by its code."""
    retransmissions: int = 0
    """Segments sent again over the mesh."""
    record_duration: Callable[[str, float], None] | None = None
    """Set by the metrics, when they are on: takes (DIMSE service, seconds)."""

    def association_opened(self) -> None:
        """Count an accepted association."""
        self.associations_open += 1
        self.associations_total += 1

    def association_closed(self) -> None:
        """Count the end of an accepted association."""
        self.associations_open -= 1

    def association_rejected(self, result: int, source: int, reason: int) -> None:
        """Count an A-ASSOCIATE-RJ (PS3.8 §9.3.4)."""
        key = (result, source, reason)
        self.rejected[key] = self.rejected.get(key, 0) + 1

    def operation_finished(self, service: str, outcome: str, seconds: float) -> None:
        """Count an operation of a DIMSE service, with its outcome and how long it took."""
        key = (service, outcome)
        self.operations[key] = self.operations.get(key, 0) + 1
        if self.record_duration is not None:
            self.record_duration(service, seconds)

    def protocol_error(self, code: str) -> None:
        """Count a peer's mistake by its code."""
        self.protocol_errors[code] = self.protocol_errors.get(code, 0) + 1
