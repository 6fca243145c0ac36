"""A DICOM peer at the end of a connection: the upper layer service provider of PS3.8, one for each association.

Every PDU, close and timer is an event of the state machine (`upper_layer.state`), and its action is carried out here
and nowhere else. ARTIM runs here. `OpeningUser` and `PeerUser` are told what concerns the user of the service.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Self

from dimse_mesh.dimse import COMMAND_FLAG, data_parts, encode_message
from dimse_mesh.endpoint.connection import PeerConnection
from dimse_mesh.endpoint.peer import PROVIDER_ABORT, OpeningUser, PeerUser
from dimse_mesh.mesh.errors import report
from dimse_mesh.policy import PeerCertificate
from dimse_mesh.upper_layer import (
    CLOSES_TRANSPORT,
    EVENT_OF_PDU,
    MOST_PDVS,
    RELEASE_RP_PDU,
    RELEASE_RQ_PDU,
    SENDS_ABORT,
    STARTS_ARTIM,
    STOPS_ARTIM,
    Abort,
    AbortReason,
    AbortSource,
    Action,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    AssociationMachine,
    Event,
    Framer,
    MalformedPdu,
    PduType,
    State,
    UpperLayerError,
    cut_pdvs,
    encode_pdu,
    iter_pdvs,
)

_UNEXPECTED = Abort(AbortSource.SERVICE_PROVIDER, AbortReason.UNEXPECTED_PDU)

_SENDS: Mapping[Action, bytes] = {
    Action.AR_1: RELEASE_RQ_PDU,
    Action.AR_4: RELEASE_RP_PDU,
    Action.AR_9: RELEASE_RP_PDU,
}
PDVS_AT_ONCE = 64
"""PDVs of one PDU that are handled before the clock is looked at."""
_OVER = frozenset((State.STA1, State.STA13))
_DECODERS: Mapping[State, tuple[PduType, Callable[[memoryview], AssociateRQ | AssociateAC]]] = {
    State.STA2: (PduType.ASSOCIATE_RQ, AssociateRQ.decode),
    State.STA5: (PduType.ASSOCIATE_AC, AssociateAC.decode),
}


class SocketPeer:
    """Receiver of a connection from its first byte to its last.

    Args:
        machine: as it is now.
        artim_timeout: seconds that ARTIM runs.
        opening: told until `join`; None: the association stands.
    """

    __slots__ = (
        "_artim",
        "_artim_timeout",
        "_connection",
        "_input_ended",
        "_kept",
        "_machine",
        "_max_pdu",
        "_opening",
        "_output_ended",
        "_pdvs",
        "_turn_over",
        "_user",
    )

    def __init__(
        self,
        connection: PeerConnection,
        machine: AssociationMachine,
        *,
        artim_timeout: float,
        opening: OpeningUser | None = None,
    ) -> None:
        self._connection = connection
        self._machine = machine
        self._artim_timeout = artim_timeout
        self._opening = opening
        self._user: PeerUser | None = None
        self._artim: asyncio.TimerHandle | None = None
        self._input_ended = False
        self._output_ended = False
        self._max_pdu = 0
        self._pdvs = 0
        """Fragments of the P-DATA-TF under way that were handed on; 0: it has few, or they are handed on wholly."""
        self._turn_over = False
        """Whether the turn under way ends though there is time left."""
        self._kept: list[tuple[int, memoryview]] = []
        """What came right behind the A-ASSOCIATE-AC."""
        connection.receiver = self

    @classmethod
    def connecting_in(cls, connection: PeerConnection, *, artim_timeout: float, opening: OpeningUser) -> Self:
        """Return the peer that has just connected to us."""
        machine = AssociationMachine(requestor=False, relay=True)
        peer = cls(connection, machine, artim_timeout=artim_timeout, opening=opening)
        peer._event(Event.EVT5)
        return peer

    @classmethod
    def connected_to(
        cls, connection: PeerConnection, request: bytes, *, artim_timeout: float, opening: OpeningUser
    ) -> Self:
        """Return the peer that we have just connected to, and ask it for an association."""
        machine = AssociationMachine(requestor=True, relay=True)
        peer = cls(connection, machine, artim_timeout=artim_timeout, opening=opening)
        peer._event(Event.EVT1)
        peer._event(Event.EVT2)
        connection.write(request)
        return peer

    # what it is like

    @property
    def over(self) -> bool:
        """Whether there is no association, and none to come."""
        return self._machine.state in _OVER

    @property
    def release_requested(self) -> bool:
        """Whether it has sent an A-RELEASE-RQ that is to be answered."""
        return self._machine.state is State.STA8

    @property
    def owes_release(self) -> bool:
        """Whether it has not answered an A-RELEASE-RQ."""
        return self._machine.state is State.STA7

    @property
    def takes_messages(self) -> bool:
        """Whether messages may be written: it has not been asked for release, or told that nothing more comes."""
        return self._machine.sends_data and not self._output_ended

    @property
    def host(self) -> str:
        """Its address."""
        return self._connection.peer_host

    @property
    def certificate(self) -> PeerCertificate | None:
        """Its verified TLS certificate; None: it has sent none."""
        return self._connection.certificate

    @property
    def bytes_received(self) -> int:
        """Bytes that have come from it."""
        return self._connection.bytes_received

    @property
    def reading(self) -> bool:
        """Whether it is read: not held back."""
        return self._connection.reading

    @property
    def contended(self) -> bool:
        """Whether others want the time that it takes."""
        return self._connection.contended

    @property
    def in_mid_pdu(self) -> bool:
        """Whether it has begun a PDU and not ended it."""
        return self._connection.in_mid_pdu

    @property
    def writable(self) -> bool:
        """Whether it takes more."""
        return self._connection.writable

    @property
    def backlog(self) -> int:
        """Bytes that it has not taken yet."""
        return self._connection.backlog

    # what it is told

    def join(self, user: PeerUser, *, max_pdu: int, max_length: int) -> None:
        """Hand the association over to its half, with what has come for it.

        Args:
            max_pdu: its Maximum Length (PS3.8 §D.1.1); 0: no limit.
            max_length: ours.
        """
        self._max_pdu = max_pdu
        self._opening = None
        self._user = user
        self._connection.max_length = max_length
        kept, self._kept = self._kept, []
        handled = 0
        while handled < len(kept):
            handled = self.pdus_received(kept, memoryview(b""), handled, math.inf)

    def accept(self, pdu: bytes) -> None:
        """Answer A-ASSOCIATE-AC."""
        self._event(Event.EVT7)
        self._connection.write(pdu)

    def reject(self, rejection: AssociateRJ) -> None:
        """Answer A-ASSOCIATE-RJ and wait for it to close."""
        self._event(Event.EVT8)
        self._connection.write(rejection.encode())

    def write_message(self, context_id: int, command: bytes, data: bytes | memoryview | None) -> int:
        """Send a command set, with its data set unless that is None; return the bytes written."""
        return self._connection.write(encode_message(context_id, command, data, self._max_pdu))

    def write_data(self, context_id: int, data: bytes | memoryview, *, last: bool) -> int:
        """Send a piece of the data set of the last command set; return the bytes written."""
        return self._connection.write(*data_parts(context_id, data, last, self._max_pdu))

    def write_pdus(self, pdus: memoryview, *, largest: int) -> int:
        """Send P-DATA-TF PDUs, as they are if none is too long for it, each with whole command and data set.

        Args:
            largest: body of the largest, in bytes.
        """
        if self._max_pdu == 0 or largest <= self._max_pdu:
            return self._connection.write(pdus)
        size = 0
        for _, body in Framer(max_length=largest).feed(pdus):
            for context_id, flags, fragment in iter_pdvs(body):
                if flags & COMMAND_FLAG:
                    size += self.write_message(context_id, bytes(fragment), None)
                else:
                    size += self.write_data(context_id, bytes(fragment), last=True)
        return size

    def request_release(self) -> None:
        """Send A-RELEASE-RQ."""
        self._event(Event.EVT11)

    def answer_release(self) -> None:
        """Send A-RELEASE-RP and wait for it to close."""
        self._event(Event.EVT14)

    def abort(self, abort: Abort = PROVIDER_ABORT) -> None:
        """Send A-ABORT and wait for it to close. Nothing happens if there is no association."""
        if self._output_ended:
            self.close()
        elif not self.over:
            self._event(Event.EVT15, abort)

    def refuse(self, reason: AbortReason) -> None:
        """Abort for what it has sent."""
        if not self.over:
            self._event(Event.EVT19, Abort(AbortSource.SERVICE_PROVIDER, reason))

    def end_output(self) -> bool:
        """Let it know that nothing more comes (TCP's FIN); False: TLS can't, `close` instead."""
        self._output_ended = self._connection.end_output()
        return self._output_ended

    def close(self) -> None:
        """Close the connection as the other side's peer has, without a word, when what was written is out."""
        if not self.over:
            self._event(Event.EVT17)
            self._connection.close(within=self._artim_timeout)

    def give_way(self) -> None:
        """Count what it does as no live traffic from now on."""
        self._connection.background = True

    def leave(self) -> None:
        """Tell nobody any more; what still comes is discarded."""
        self._opening = self._user = None

    def end_turn(self) -> None:
        """Hand on no more than the PDU that is being handled."""
        self._turn_over = True

    def rest(self, seconds: float) -> None:
        """Let it wait so long before it is read again."""
        self._connection.rest(seconds)

    def pause_reading(self) -> None:
        """Hold it back."""
        self._connection.pause_reading()

    def resume_reading(self, most: int | None = None) -> None:
        """Read it again; no more than `most` bytes at a time from now on, if given."""
        self._connection.resume_reading(most)

    # the connection's side

    def pdus_received(
        self, pdus: list[tuple[int, memoryview]], contiguous: memoryview, start: int, until: float
    ) -> int:
        """Handle the PDUs of one read, until others want their turn; return the index behind the last of them."""
        machine = self._machine
        index, count = start, len(pdus)
        while index < count:
            user = self._user
            pdu_type, body = pdus[index]
            if user is not None and machine.takes_data and pdu_type == PduType.P_DATA_TF:
                alone = self._pdvs or index + 1 == count  # a run has two PDUs at least
                behind = index if alone else user.run_received(pdus, index, contiguous)
                if behind == index:
                    behind += self._fragments(user, pdus, index)
                index = behind
            elif user is None and machine.state is State.STA6:
                self._kept += [(kind, memoryview(bytes(body))) for kind, body in pdus[index:]]
                self._connection.pause_reading()
                return count
            elif machine.state is State.STA1:  # the connection is closed, and this came behind its end
                return count
            else:
                self._pdu(pdu_type, body)
                index += 1
            if self._turn_over or perf_counter() > until:
                break
        self._turn_over = False
        if self._user is not None:
            self._user.read_ended()
        return index

    def _fragments(self, user: PeerUser, pdus: list[tuple[int, memoryview]], index: int) -> bool:
        """Hand on the fragments of a P-DATA-TF, or the first of many; then the others stand in its place."""
        pdu_type, body = pdus[index]
        try:
            pdvs, end = cut_pdvs(body, PDVS_AT_ONCE)
            if end < len(body):
                self._pdvs += len(pdvs)
                if self._pdvs >= MOST_PDVS:
                    raise MalformedPdu(f"a P-DATA-TF with more than {MOST_PDVS} PDVs")
                pdus[index] = pdu_type, body[end:]
            else:
                self._pdvs = 0
        except UpperLayerError as error:
            self._pdvs = 0
            self._invalid(error)
            return True
        user.pdvs_received(pdvs)
        return not self._pdvs

    def _pdu(self, pdu_type: int, body: memoryview) -> None:
        """Handle a PDU that isn't data in order."""
        content: AssociateRQ | AssociateAC | AssociateRJ | None = None
        awaited, decode = _DECODERS.get(self._machine.state, (None, None))
        try:
            if pdu_type == awaited and decode is not None:
                content = decode(body)
            elif pdu_type == PduType.ASSOCIATE_RJ:
                content = AssociateRJ.decode(body)
        except UpperLayerError as error:
            self._invalid(error)
            return
        action = self._event(EVENT_OF_PDU[pdu_type], _UNEXPECTED)
        opening, user = self._opening, self._user
        if action in {Action.AE_6, Action.AE_3, Action.AE_4}:
            if action is Action.AE_3:
                self._connection.pause_reading()  # what comes behind it is for the half
            assert content is not None
            assert opening is not None
            opening.associate_received(content, encode_pdu(pdu_type, body))
        elif action is Action.AR_8 and self._machine.requestor:
            self._event(Event.EVT14)  # a collision (PS3.8 §7.2.2.7): the acceptor awaits our answer first
        elif action in {Action.AA_1, Action.AA_8}:
            self._tell_failure("unexpected-pdu", AbortReason.UNEXPECTED_PDU)
        elif action in {Action.AA_2, Action.AA_3}:
            teller = user or opening
            if teller is not None:
                teller.aborted(Abort.decode(body))
        elif user is not None and action is Action.AR_2:
            user.release_requested()
        elif user is not None and action in {Action.AR_3, Action.AR_10}:
            if action is Action.AR_10:
                self._event(Event.EVT14)
            user.released()

    def protocol_error(self, error: UpperLayerError) -> None:
        """Abort, since what came is no PDU."""
        if self._machine.state is not State.STA1:
            self._invalid(error)

    def input_ended(self) -> bool:
        """Tell the half, which may still have answers for the peer; PS3.8 knows only the end of both directions."""
        self._input_ended = True
        return self._user is not None and self._user.input_ended()

    def transport_lost(self) -> None:
        """Handle the end of the connection, whoever caused it."""
        if self._machine.state is State.STA1:  # we have closed it
            return
        teller = self._user or self._opening
        self._event(Event.EVT17)
        if teller is not None:
            teller.closed()

    def writable_again(self) -> None:
        """Go on writing."""
        if self._user is not None:
            self._user.writable_again()

    # the machine's

    def _event(self, event: Event, abort: Abort = PROVIDER_ABORT) -> Action:
        """Let the machine decide, and do what it says; `abort` is what an A-ABORT says."""
        action = self._machine.handle(event)
        connection = self._connection
        pdu = abort.encode() if action in SENDS_ABORT else _SENDS.get(action)
        if pdu is not None:
            connection.write(pdu)
        if self._artim is not None and (action in STARTS_ARTIM or action in STOPS_ARTIM):
            self._artim.cancel()
            self._artim = None
        if action in STARTS_ARTIM:
            self._artim = asyncio.get_running_loop().call_later(self._artim_timeout, self._artim_expired)
        if action is Action.AA_2:
            connection.abort()
        elif action in CLOSES_TRANSPORT or (self._machine.state is State.STA13 and self._input_ended):
            connection.close(within=self._artim_timeout)
        elif self._machine.state is State.STA13:
            connection.discard()
        return action

    def _invalid(self, error: UpperLayerError) -> None:
        action = self._event(Event.EVT19, Abort(error.abort_source, error.abort_reason))
        if action is not Action.AA_7:
            self._tell_failure(error.code, error.abort_reason)

    def _tell_failure(self, code: str, reason: AbortReason) -> None:
        opening, user = self._opening, self._user
        if opening is not None:
            opening.failed(code)
        elif user is not None:
            user.failed(code, reason)

    def _artim_expired(self) -> None:
        try:
            self._event(Event.EVT18)
            if self._opening is not None:
                self._opening.failed("artim-expired")
        except Exception as error:  # noqa: BLE001 - an error of ours ends this connection, and no other
            report("the end of ARTIM", error)
            self._connection.abort()
