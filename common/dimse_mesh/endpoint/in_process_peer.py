"""A DICOM peer in this very process: what the half of an association writes waits in a queue, without a socket or PDU.

The half sees a `DicomPeer`; whoever is the client in this process calls `associate`, `send`, `next` and the rest.
"""

from __future__ import annotations

import asyncio
from collections import deque

from dimse_mesh.dimse import COMMAND_FLAG, LAST_FLAG, Event, MessageAssembler
from dimse_mesh.endpoint.peer import PROVIDER_ABORT, OpeningUser, PeerUser
from dimse_mesh.policy import PeerCertificate
from dimse_mesh.upper_layer import (
    Abort,
    AbortReason,
    AbortSource,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    Framer,
    PduType,
    iter_pdvs,
)

HIGH_WATER = 4 << 20
"""Bytes that wait for the client above which the half must not write."""

Word = AssociateAC | AssociateRJ | Abort | Event | PduType | None
"""What comes to the client: a PduType for the A-RELEASE PDUs, which say nothing else; None: nothing more."""


class InProcessPeer:
    """Both faces of the client's end of one association."""

    def __init__(self) -> None:
        self._opening: OpeningUser | None = None
        self._user: PeerUser | None = None
        self._assembler = MessageAssembler()
        self._words: deque[Word] = deque()
        self._came = asyncio.Event()
        self._may_send = asyncio.Event()
        self._may_send.set()
        self.over = False
        self.bytes_received = 0
        self.backlog = 0
        self.release_requested = False
        self.owes_release = False

    def attach(self, opening: OpeningUser) -> InProcessPeer:
        """Say who opens the association."""
        self._opening = opening
        return self

    # the client's face

    def associate(self, request: AssociateRQ) -> None:
        """Ask for the association."""
        assert self._opening is not None
        self._opening.associate_received(request, request.encode())

    async def send(self, context_id: int, fragment: bytes | memoryview, *, command: bool, last: bool) -> bool:
        """Send a fragment of a message, as soon as the half takes it; False: the association is over."""
        await self._may_send.wait()
        user = self._user
        if self.over or user is None:
            return False
        flags = (COMMAND_FLAG if command else 0) | (LAST_FLAG if last else 0)
        self.bytes_received += len(fragment)
        user.pdvs_received(((context_id, flags, memoryview(fragment)),))
        if self._user is not None:
            user.read_ended()
        return True

    async def next(self) -> Word:
        """Return what comes next."""
        while not self._words:
            if self.over:
                return None
            self._came.clear()
            await self._came.wait()
        word = self._words.popleft()
        if isinstance(word, tuple):
            size = len(word[1])
            was_full = not self.writable
            self.backlog -= size
            if was_full and self.writable and self._user is not None:
                self._user.writable_again()
        return word

    def release(self) -> None:
        """Ask for release."""
        if self._user is not None and not self.over:
            self.release_requested = True
            self._user.release_requested()

    def grant_release(self) -> None:
        """Answer the half's A-RELEASE-RQ: the association is over."""
        user, self.over = self._user, True
        self.owes_release = False
        if user is not None:
            user.released()

    def give_up(self) -> None:
        """Abort the association, if it stands or is being opened."""
        teller = self._user or self._opening
        was_over, self.over = self.over, True
        self._came.set()
        self._may_send.set()
        if teller is not None and not was_over:
            teller.aborted(Abort(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED))

    def _come(self, word: Word, *, over: bool = False) -> None:
        self._words.append(word)
        if over:
            self.over = True
            self._may_send.set()
        self._came.set()

    # the half's face

    @property
    def host(self) -> str:
        """Its address."""
        return ""

    @property
    def certificate(self) -> PeerCertificate | None:
        """None: it needs none."""
        return None

    @property
    def reading(self) -> bool:
        """Whether it is read: not held back."""
        return self._may_send.is_set()

    @property
    def contended(self) -> bool:
        """Whether others want the time that it takes: it is one of our own."""
        return False

    @property
    def in_mid_pdu(self) -> bool:
        """Never: it sends no PDUs."""
        return False

    @property
    def writable(self) -> bool:
        """Whether it takes more."""
        return self.backlog < HIGH_WATER and not self.over

    @property
    def takes_messages(self) -> bool:
        """Whether messages may be written."""
        return not (self.owes_release or self.over)

    def join(self, user: PeerUser, *, max_pdu: int, max_length: int) -> None:  # noqa: ARG002 - there are no PDUs
        """Hand the association over to its half."""
        self._opening = None
        self._user = user

    def give_way(self) -> None:
        """Do nothing: it has no turns."""

    def leave(self) -> None:
        """Tell nobody any more."""
        self._opening = self._user = None

    def accept(self, pdu: bytes) -> None:
        """Answer A-ASSOCIATE-AC."""
        self._come(AssociateAC.decode(pdu[6:]))

    def reject(self, rejection: AssociateRJ) -> None:
        """Answer A-ASSOCIATE-RJ."""
        self._come(rejection, over=True)

    def end_turn(self) -> None:
        """Do nothing: it waits before it sends."""

    def rest(self, seconds: float) -> None:
        """Do nothing: it is one of our own."""

    def pause_reading(self) -> None:
        """Hold it back."""
        if not self.over:
            self._may_send.clear()

    def resume_reading(self, most: int | None = None) -> None:  # noqa: ARG002 - it sends fragment by fragment
        """Let it send again."""
        self._may_send.set()

    def write_message(self, context_id: int, command: bytes, data: bytes | memoryview | None) -> int:
        """Send a command set, with its data set unless that is None; return the bytes written."""
        size = self._write(context_id, COMMAND_FLAG | LAST_FLAG, command)
        return size if data is None else size + self._write(context_id, LAST_FLAG, data)

    def write_data(self, context_id: int, data: bytes | memoryview, *, last: bool) -> int:
        """Send a piece of the data set of the last command set; return the bytes written."""
        return self._write(context_id, LAST_FLAG if last else 0, data)

    def write_pdus(self, pdus: memoryview, *, largest: int) -> int:
        """Send P-DATA-TF PDUs; return the bytes written."""
        return sum(
            self._write(context_id, flags, fragment)
            for _, body in Framer(max_length=largest).feed(pdus)
            for context_id, flags, fragment in iter_pdvs(body)
        )

    def _write(self, context_id: int, flags: int, fragment: bytes | memoryview) -> int:
        event = self._assembler.pdv(context_id, flags, memoryview(bytes(fragment)))
        if event is not None:
            self.backlog += len(event[1])
            self._come(event)
        return len(fragment)

    def request_release(self) -> None:
        """Send A-RELEASE-RQ."""
        self.owes_release = True
        self._come(PduType.RELEASE_RQ)

    def answer_release(self) -> None:
        """Send A-RELEASE-RP."""
        self._come(PduType.RELEASE_RP, over=True)

    def abort(self, abort: Abort = PROVIDER_ABORT) -> None:
        """Send A-ABORT. Nothing happens if there is no association."""
        if not self.over:
            self._come(abort, over=True)

    def refuse(self, reason: AbortReason) -> None:
        """Abort for what it has sent."""
        self.abort(Abort(AbortSource.SERVICE_PROVIDER, reason))

    def end_output(self) -> bool:
        """Return False: it can't be told, and is closed when it has answered."""
        return False

    def close(self) -> None:
        """End the association without a word."""
        if not self.over:
            self._come(None, over=True)
