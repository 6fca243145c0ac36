"""An error of ours in an association with a place ends that one, and not the executor with all others."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock, MagicMock, create_autospec

import anyio
import pytest

from dimse_mesh.dimse import DataFragment
from dimse_mesh.endpoint.in_process_peer import InProcessPeer
from dimse_mesh.scu.storage import StoragePlaces
from dimse_mesh.storage import StorageAssociation
from dimse_mesh.upper_layer import AssociateRQ


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("take", "an association with a place raised KeyError"),
        ("close", "the end of an association with a place raised KeyError"),
    ],
)
def test_an_error_of_a_place_ends_that_association_alone(
    where: str, words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    association = create_autospec(StorageAssociation, instance=True)
    getattr(association, where).side_effect = KeyError(where)
    peer = create_autospec(InProcessPeer, instance=True)
    peer.next = AsyncMock(side_effect=[create_autospec(DataFragment, instance=True), None])
    association.take.return_value = None
    target = MagicMock()
    target.associate.return_value.association = association
    monkeypatch.setattr("dimse_mesh.scu.storage.StorageTarget", lambda _: target)
    monkeypatch.setattr("dimse_mesh.scu.storage.InProcessPeer", lambda: peer)

    async def main() -> None:
        remote: Any = MagicMock(ae_title="PLACE")
        async with anyio.create_task_group() as tasks:
            places = StoragePlaces([remote], tasks, max_pdu_length=16384)
            places.associate(remote, MagicMock(spec=AssociateRQ))

    anyio.run(main)
    association.close.assert_awaited_once()
    assert peer.give_up.call_count == (where == "take")
    assert words in caplog.text
