"""A peer that doesn't answer a release holds nobody up."""

from __future__ import annotations

import anyio
import pytest

from dimse_mesh.client import Proposal, association, connect_tcp
from tests.support.scripted import Closed, Server, ServerPeer
from tests.support.wire import IMPLICIT_LE, VERIFICATION


def test_a_release_without_an_answer_is_over_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(association, "RELEASE_SECONDS", 0.2)

    def silent(peer: ServerPeer) -> None:
        peer.accept_association()
        try:
            while True:
                peer.read_pdu()
        except Closed:
            return

    async def main(port: int) -> None:
        client = await connect_tcp("127.0.0.1", port, timeout=30)
        await client.associate(
            called_ae="ARCHIVE", calling_ae="CT1", proposals=[Proposal(VERIFICATION, (IMPLICIT_LE,))]
        )
        with anyio.fail_after(30):
            await client.release()

    with Server(silent) as server:
        anyio.run(main, server.port)
