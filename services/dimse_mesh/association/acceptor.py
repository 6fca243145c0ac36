"""A client's connection from its first byte to the A-ASSOCIATE-AC (PS3.8 Sta2 and Sta3).

Once the target has accepted, the `Link` takes over; until then nothing but an A-ASSOCIATE-RQ, an abort or a close
is in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from dimse_mesh.endpoint import PeerConnection
from dimse_mesh.upper_layer import (
    Abort,
    AbortReason,
    AbortSource,
    AssociateRJ,
    AssociateRQ,
    AssociationMachine,
    Event,
    PduType,
    State,
    UpperLayerError,
    encode_pdu,
)

log = logging.getLogger(__name__)


class Acceptor:
    """Receives what a client sends before it is linked.

    Args:
        on_request: called once with the decoded A-ASSOCIATE-RQ and its PDU, as it came.
        on_error: called with a code for each connection that ended by a mistake of the client.
        artim_timeout: seconds until the A-ASSOCIATE-RQ must be here, and for the client to close after a reject.
    """

    __slots__ = (
        "_artim",
        "_artim_timeout",
        "_connection",
        "_on_error",
        "_on_request",
        "gone",
        "machine",
        "on_gone",
    )

    def __init__(
        self,
        connection: PeerConnection,
        *,
        on_request: Callable[[Acceptor, AssociateRQ, bytes], None],
        on_error: Callable[[str, str], None],
        artim_timeout: float,
    ) -> None:
        self._connection = connection
        self._on_request = on_request
        self._on_error = on_error
        self._artim_timeout = artim_timeout
        self.machine = AssociationMachine(requestor=False)
        self.machine.handle(Event.EVT5)
        self.gone = False
        """Whether the client is no longer there to be answered."""
        self.on_gone: Callable[[], None] | None = None
        """Called when it goes before it was answered."""
        connection.receiver = self
        self._artim = asyncio.get_running_loop().call_later(artim_timeout, self._artim_expired)

    @property
    def connection(self) -> PeerConnection:
        """The client's."""
        return self._connection

    def pdus_received(self, pdus: list[tuple[int, memoryview]]) -> None:
        """Take the A-ASSOCIATE-RQ; anything else but an abort is out of order."""
        for pdu_type, body in pdus:
            if self.gone:  # rejected: what still comes is ignored (PS3.8 Sta13, AA-6)
                return
            if pdu_type == PduType.ABORT:
                self.machine.handle(Event.EVT16)
                self._leave()
                self._connection.abort()
                if self.on_gone is not None:
                    self.on_gone()
                return
            if pdu_type != PduType.ASSOCIATE_RQ or self.machine.state is not State.STA2:
                self._abort("unexpected-pdu", AbortReason.UNEXPECTED_PDU)
                return
            try:
                request = AssociateRQ.decode(body)
            except UpperLayerError as error:
                self._abort(error.code, error.abort_reason)
                return
            self._artim.cancel()
            self.machine.handle(Event.EVT6)
            self._on_request(self, request, encode_pdu(pdu_type, body))

    def protocol_error(self, error: UpperLayerError) -> None:
        """Abort: what came is no PDU."""
        self._abort(error.code, error.abort_reason)

    def transport_lost(self) -> None:
        """Note that the client has gone."""
        self._leave()
        if self.on_gone is not None:
            self.on_gone()

    def writable_again(self) -> None:
        """Nothing waits to be written."""

    def reject(self, rejection: AssociateRJ) -> None:
        """Answer A-ASSOCIATE-RJ and wait for the client to close."""
        if not self.gone:
            self.machine.handle(Event.EVT8)
            self._finish(rejection.encode())

    def abort(self, abort: Abort) -> None:
        """Answer A-ABORT and wait for the client to close."""
        if not self.gone:
            self.machine.handle(Event.EVT15)
            self._finish(abort.encode())

    def accept(self, pdu: bytes) -> None:
        """Answer A-ASSOCIATE-AC; the caller links the connection at once."""
        self.machine.handle(Event.EVT7)
        self._connection.write(pdu)

    def _abort(self, code: str, reason: AbortReason) -> None:
        self._on_error(code, self._connection.peer_host)
        self._finish(Abort(AbortSource.SERVICE_PROVIDER, reason).encode())
        if self.on_gone is not None:
            self.on_gone()

    def _finish(self, pdu: bytes) -> None:
        self._leave()
        self._connection.write(pdu)
        self._connection.linger(within=self._artim_timeout)

    def _leave(self) -> None:
        self.gone = True
        self._artim.cancel()
        self._connection.receiver = None

    def _artim_expired(self) -> None:
        self._on_error("artim-expired", self._connection.peer_host)
        self._leave()
        self._connection.abort()
