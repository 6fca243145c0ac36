"""Our peer's end of a link: what its PDUs do to the association (PS3.8 §9.2) and to the other endpoint.

Messages go to the sender, in order, as long as it takes more; the states of the association are `AssociationMachine`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dimse_mesh.endpoint.connection import PeerConnection
from dimse_mesh.endpoint.link_state import LinkState
from dimse_mesh.endpoint.sender import Sender
from dimse_mesh.schemas.frames import FrameKind
from dimse_mesh.upper_layer import (
    RELEASE_RP_PDU,
    RELEASE_RQ_PDU,
    Abort,
    AbortReason,
    AbortSource,
    Action,
    AssociationMachine,
    Event,
    FramingError,
    PduType,
    State,
    UpperLayerError,
    iter_pdvs,
)

if TYPE_CHECKING:
    from dimse_mesh.endpoint.link import Link

PROVIDER_ABORT = Abort(AbortSource.SERVICE_PROVIDER, AbortReason.NOT_SPECIFIED)

_RECEIVING = frozenset((State.STA6, State.STA7))
"""States in which P-DATA-TF may come (PS3.8 table 9-10)."""


class PeerEnd:
    """Receiver of our peer's connection from `Link.establish` on.

    Args:
        machine: the peer's side of the association (PS3.8 §9.2), in whatever state it is.
    """

    __slots__ = ("_connection", "_link", "_machine", "_sender", "accepted_contexts")

    def __init__(
        self, link: Link, *, connection: PeerConnection, machine: AssociationMachine, sender: Sender
    ) -> None:
        self._link = link
        self._connection = connection
        self._machine = machine
        self._sender = sender
        self.accepted_contexts: frozenset[int] = frozenset()
        """Ids of the presentation contexts that the target accepted."""

    @property
    def awaits_close(self) -> bool:
        """Whether nothing is left of the association but to close the connection (PS3.8: Sta13)."""
        return self._machine.state is State.STA13

    def pdus_received(self, pdus: list[tuple[int, memoryview]]) -> None:
        """Handle the PDUs of one read."""
        self._link.guarded(lambda: self._handle(pdus))

    def _handle(self, pdus: list[tuple[int, memoryview]]) -> None:
        sender, link = self._sender, self._link
        index, count = 0, len(pdus)
        receiving = self._machine.state in _RECEIVING
        while index < count:
            pdu_type, body = pdus[index]
            if receiving and pdu_type == PduType.P_DATA_TF:
                behind = sender.pass_on_run(pdus, index, self._connection.contiguous)
                if behind > index:
                    index = behind
                    continue
                pdvs = iter_pdvs(body)
                for pdv in pdvs:
                    if pdv[0] not in self.accepted_contexts:
                        link.fail("unknown-context", AbortReason.INVALID_PDU_PARAMETER_VALUE)
                        return
                sender.pdvs_received(pdvs)
            else:
                self._control_pdu(pdu_type, body)
                receiving = self._machine.state in _RECEIVING
            if link.state is LinkState.ENDED:
                return
            index += 1
        sender.end_of_read()
        if not sender.outbound.idle:
            link.router.watch(link)
        link.regulate()

    def _control_pdu(self, pdu_type: int, body: memoryview) -> None:
        machine, link = self._machine, self._link
        if pdu_type == PduType.ABORT:
            abort = Abort.decode(body)
            machine.handle(Event.EVT16)
            link.end("aborted-by-peer", tell=abort)
        elif pdu_type == PduType.RELEASE_RQ and machine.state in _RECEIVING:
            if machine.handle(Event.EVT12) is Action.AR_2:
                self._sender.send_release(FrameKind.RELEASE_RQ)
            elif machine.requestor:  # a collision (PS3.8 §7.2.2.7): the acceptor awaits our answer first
                machine.handle(Event.EVT14)
                self._connection.write(RELEASE_RP_PDU)
        elif pdu_type == PduType.RELEASE_RP and machine.state in {State.STA7, State.STA10, State.STA11}:
            if machine.handle(Event.EVT13) is Action.AR_10:
                machine.handle(Event.EVT14)
                self._connection.write(RELEASE_RP_PDU)
            self._sender.send_release(FrameKind.RELEASE_RP)
            link.end("released")
        else:
            link.fail("unexpected-pdu", AbortReason.UNEXPECTED_PDU)

    def release(self, kind: FrameKind) -> None:
        """Pass on the other side's A-RELEASE-RQ or -RP, in its place among the messages.

        An A-RELEASE-RQ that has crossed our own peer's in the mesh answers it: both get their A-RELEASE-RP.
        """
        machine, link = self._machine, self._link
        if kind is FrameKind.RELEASE_RQ and machine.state is not State.STA8:
            machine.handle(Event.EVT11)
            self._connection.write(RELEASE_RQ_PDU)
            link.deadlines.await_release()
            return
        machine.handle(Event.EVT14)
        self._connection.write(RELEASE_RP_PDU)
        link.other_end.release_consumed()
        link.end("released")

    def protocol_error(self, error: UpperLayerError) -> None:
        """Handle a PDU that breaks PS3.8: what was whole before it still counts."""
        if isinstance(error, FramingError) and error.completed:
            self.pdus_received(error.completed)
        if self._link.state is not LinkState.ENDED:
            self._link.fail(error.code, error.abort_reason)

    def transport_lost(self) -> None:
        """Handle the end of our peer's connection."""
        if self._link.state is not LinkState.ENDED:
            self._link.end("transport-lost", tell=PROVIDER_ABORT)

    def writable_again(self) -> None:
        """Go on writing to our peer."""
        self._link.guarded(self._link.other_end.pump)
