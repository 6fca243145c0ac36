"""A client's connection from its first byte to the answer to its A-ASSOCIATE-RQ (PS3.8 Sta2 and Sta3).

Once the target has accepted, the `AssociationHalf` takes over; until then nothing but an A-ASSOCIATE-RQ, an abort or
a close is in order.
"""

from __future__ import annotations

from collections.abc import Callable

from dimse_mesh.endpoint.peer import AskingPeer, OpeningUser
from dimse_mesh.upper_layer import Abort, AssociateAC, AssociateRJ, AssociateRQ


class Acceptor:
    """Opens a client's association: told by its peer what comes before it stands.

    Args:
        connect: makes the peer, which tells us.
        on_request: called once with the decoded A-ASSOCIATE-RQ and its PDU, as it came.
        on_error: called with a code and the client's address for each connection that ended by its mistake.
    """

    __slots__ = ("_on_error", "_on_request", "on_gone", "peer")

    def __init__(
        self,
        connect: Callable[[OpeningUser], AskingPeer],
        *,
        on_request: Callable[[Acceptor, AssociateRQ, bytes], None],
        on_error: Callable[[str, str], None],
    ) -> None:
        self._on_request = on_request
        self._on_error = on_error
        self.on_gone: Callable[[], None] | None = None
        """Called when the client goes before it was answered."""
        self.peer = connect(self)

    def associate_received(self, pdu: AssociateRQ | AssociateAC | AssociateRJ, raw: bytes) -> None:
        """Hand on the A-ASSOCIATE-RQ."""
        assert isinstance(pdu, AssociateRQ)
        self._on_request(self, pdu, raw)

    def aborted(self, abort: Abort) -> None:  # noqa: ARG002 - whatever it says, the client has gone
        """Note that the client doesn't want the association any more."""
        self.closed()

    def failed(self, code: str) -> None:
        """Note that what came was out of order, and was answered by an A-ABORT."""
        self._on_error(code, self.peer.host)
        self.closed()

    def closed(self) -> None:
        """Note that the client has gone."""
        self.peer.leave()
        if self.on_gone is not None:
            self.on_gone()

    def reject(self, rejection: AssociateRJ) -> None:
        """Answer A-ASSOCIATE-RJ, unless the client has gone."""
        if not self.peer.over:
            self.peer.reject(rejection)
            self.peer.leave()
