"""The seam between an association half and whoever it faces: a DICOM peer at the end of a socket, or in this process.

A half talks to a `DicomPeer` in whole messages and pieces of data sets, and hears of it as its `PeerUser`. Before the
association stands, an `OpeningUser` hears of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dimse_mesh.dimse import CommandHead
from dimse_mesh.policy import PeerCertificate
from dimse_mesh.upper_layer import Abort, AbortReason, AbortSource, AssociateAC, AssociateRJ, AssociateRQ

PROVIDER_ABORT = Abort(AbortSource.SERVICE_PROVIDER, AbortReason.NOT_SPECIFIED)


class PeerWatch(Protocol):
    """Sees what a half's peer is asked, and what it answers. It changes nothing."""

    def request_passed_on(self, head: CommandHead, command: bytes | memoryview, context_id: int) -> None:
        """Note a request that the peer has got."""

    def data_passed_on(self, piece: bytes | memoryview) -> None:
        """Note a piece of the data set of the last message that the peer has got; not to be kept."""

    def answered(self, head: CommandHead) -> None:
        """Note a response of the peer."""


class DicomPeer(Protocol):
    """One end of an association, from when it stands to when it has ended."""

    @property
    def bytes_received(self) -> int:
        """Bytes that have come from it."""

    @property
    def reading(self) -> bool:
        """Whether it is read: not held back."""

    @property
    def contended(self) -> bool:
        """Whether others want the time that it takes."""

    @property
    def in_mid_pdu(self) -> bool:
        """Whether it has begun a PDU and not ended it."""

    @property
    def writable(self) -> bool:
        """Whether it takes more. When it does again, it says so."""

    @property
    def backlog(self) -> int:
        """Bytes that it has not taken yet."""

    @property
    def release_requested(self) -> bool:
        """Whether it has sent an A-RELEASE-RQ that is to be answered."""

    @property
    def owes_release(self) -> bool:
        """Whether it has not answered an A-RELEASE-RQ."""

    @property
    def takes_messages(self) -> bool:
        """Whether messages may be written: it has not been asked for release, or told that nothing more comes."""

    def join(self, user: PeerUser, *, max_pdu: int, max_length: int) -> None:
        """Hand the association over to its half, with what has come for it.

        Args:
            max_pdu: its Maximum Length (PS3.8 §D.1.1); 0: no limit.
            max_length: ours.
        """

    def give_way(self) -> None:
        """Count what it does as no live traffic from now on: it waits for others."""

    def leave(self) -> None:
        """Tell nobody any more; what still comes is discarded."""

    def end_turn(self) -> None:
        """Let what it has sent wait, from the PDU on that follows the one being handled, until it is read again."""

    def rest(self, seconds: float) -> None:
        """Let it wait so long before it is read again."""

    def pause_reading(self) -> None:
        """Hold it back."""

    def resume_reading(self, most: int | None = None) -> None:
        """Read it again; no more than `most` bytes at a time from now on, if given."""

    def write_message(self, context_id: int, command: bytes, data: bytes | memoryview | None) -> int:
        """Send a command set, with its data set unless that is None; return the bytes written."""

    def write_data(self, context_id: int, data: bytes | memoryview, *, last: bool) -> int:
        """Send a piece of the data set of the last command set; return the bytes written."""

    def write_pdus(self, pdus: memoryview, *, largest: int) -> int:
        """Send P-DATA-TF PDUs, each with whole command and data set; return the bytes written.

        Args:
            largest: body of the largest, in bytes.
        """

    def request_release(self) -> None:
        """Send A-RELEASE-RQ."""

    def answer_release(self) -> None:
        """Send A-RELEASE-RP and wait for it to close."""

    def abort(self, abort: Abort = PROVIDER_ABORT) -> None:
        """Send A-ABORT and wait for it to close. Nothing happens if there is no association."""

    def refuse(self, reason: AbortReason) -> None:
        """Abort for what it has sent."""

    def end_output(self) -> bool:
        """Let it know that nothing more comes (TCP's FIN); False: it can't be told, only closed."""

    def close(self) -> None:
        """Close the connection as the other side's peer has, without a word, when what was written is out."""


class AskingPeer(DicomPeer, Protocol):
    """A client whose association is to be opened."""

    @property
    def host(self) -> str:
        """Its address."""

    @property
    def certificate(self) -> PeerCertificate | None:
        """The certificate that it has proved to own."""

    @property
    def over(self) -> bool:
        """Whether there is no association, and none to come."""

    def accept(self, pdu: bytes) -> None:
        """Answer A-ASSOCIATE-AC."""

    def reject(self, rejection: AssociateRJ) -> None:
        """Answer A-ASSOCIATE-RJ."""


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

    def run_received(self, pdus: Sequence[tuple[int, memoryview]], index: int, contiguous: memoryview) -> int:
        """Take P-DATA-TF `index` and those behind it that can be passed on as they are; return the index behind them.

        The views are valid until `read_ended`; the PDUs that lay wholly in the read are `contiguous`.
        """

    def pdvs_received(self, pdvs: Sequence[tuple[int, int, memoryview]]) -> None:
        """Take the PDVs of a P-DATA-TF: context id, flags, fragment."""

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
