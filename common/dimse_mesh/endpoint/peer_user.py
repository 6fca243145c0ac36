"""What a peer tells those who use it: first whoever opens its association, then the half that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dimse_mesh.upper_layer import Abort, AbortReason, AssociateAC, AssociateRJ, AssociateRQ


class OpeningUser(Protocol):
    """Until the association stands."""

    def associate_received(self, pdu: AssociateRQ | AssociateAC | AssociateRJ, raw: bytes) -> None:
        """Handle the A-ASSOCIATE PDU that was awaited, decoded and as it came."""

    def aborted(self, abort: Abort) -> None:
        """Handle the peer's A-ABORT."""

    def failed(self, code: str) -> None:
        """Note that the peer broke PS3.8, or said nothing until ARTIM expired: there will be no association."""

    def closed(self) -> None:
        """Handle the end of the connection."""


class PeerUser(Protocol):
    """While the association stands. After `aborted`, `released`, `failed` or `closed` nothing more is told."""

    def data_received(
        self, pdus: Sequence[tuple[int, memoryview]], index: int, contiguous: memoryview
    ) -> int:
        """Take P-DATA-TF `index`, and perhaps some behind it; return the index behind what was taken.

        The views are valid until `read_ended`; the PDUs that lay wholly in the read are `contiguous`.
        """

    def read_ended(self) -> None:
        """Handle the end of a read, which may have completed no PDU."""

    def release_requested(self) -> None:
        """Handle the peer's A-RELEASE-RQ."""

    def released(self) -> None:
        """Handle the peer's A-RELEASE-RP."""

    def aborted(self, abort: Abort) -> None:
        """Handle the peer's A-ABORT."""

    def failed(self, code: str, reason: AbortReason) -> None:
        """Note that the peer broke PS3.8 and was aborted."""

    def input_ended(self) -> bool:
        """Handle the peer's FIN; return whether it is to be written to any longer."""

    def closed(self) -> None:
        """Handle the end of the connection."""

    def writable_again(self) -> None:
        """Continue writing: the peer takes more."""
