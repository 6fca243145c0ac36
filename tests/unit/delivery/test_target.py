"""What becomes of an object whose destination can't be associated with, in its own transfer syntax or another one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from dimse_mesh.delivery.audit import DeliveryAudit
from dimse_mesh.delivery.outcomes import DeliveryCause, DeliveryOutcome, Scope
from dimse_mesh.delivery.target import Target
from dimse_mesh.runtime.settings_durable import TranscodingSettings
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.transcoding import Transcoder
from tests.support.scripted import Server, ServerPeer, success
from tests.support.spooled import spooled_object
from tests.support.wire import ContextResult

OBJECT = spooled_object()
MALFORMED = b"\x02\0\0\0\0\x04\0\x01\0\0"
"""An A-ASSOCIATE-AC that is too short for its fixed fields."""


async def pieces() -> AsyncIterator[bytes | memoryview]:
    yield b"pixels!"


def deliver_to(port: int) -> DeliveryOutcome:
    """Deliver an object to a destination that listens on a port."""
    remote = RemoteAe(ae_title="ARCHIVE", host="127.0.0.1", port=port)
    target = Target(
        remote,
        Transcoder(TranscodingSettings()),
        response_timeout=10.0,
        objection=lambda *_: None,
        audit=DeliveryAudit(None, remote, source="hospital"),
    )

    async def main() -> DeliveryOutcome:
        outcome = await target.deliver(OBJECT, pieces(), attempts=1, ahead=())
        await target.close()
        return outcome

    return anyio.run(main)


@pytest.mark.parametrize("takes_own_syntax", [True, False])
def test_a_malformed_answer_is_a_protocol_error_of_the_destination(*, takes_own_syntax: bool) -> None:
    """It is the answer to the first association, or to the one on which other transfer syntaxes are proposed."""
    answers = iter([takes_own_syntax, True])

    def script(peer: ServerPeer) -> None:
        if next(answers):
            peer.read_request()
            peer.send(MALFORMED)
        else:
            peer.accept_association([ContextResult(1, 4, "1.2.840.10008.1.2.1")])
            peer.serve(success)

    with Server(script) as server:
        outcome = deliver_to(server.port)
    assert (outcome.cause, outcome.scope) == (DeliveryCause.PROTOCOL_ERROR, Scope.DESTINATION)
    assert "malformed-pdu" in outcome.detail
