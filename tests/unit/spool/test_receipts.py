"""Receipts that may not be read: whoever asks is told each time, and the log once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import anyio
import pytest

from dimse_mesh.mesh import JetStream, NotPermitted
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects
from dimse_mesh.spool import Receipts, name_of
from tests.support.spooled import manifest

SPOOL = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, "ARCHIVE")


async def _refuse(*_: str) -> None:
    raise NotPermitted("publish to $JS.API.DIRECT.GET")


def test_receipts_that_may_not_be_read_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    receipts = Receipts(cast(JetStream, SimpleNamespace(last=_refuse)), SPOOL)
    stored = manifest(command_length=6).model_copy(update={"receipt": True})

    async def scenario() -> None:
        for _ in range(2):
            with pytest.raises(NotPermitted):
                await receipts.says_delivered(stored, 7)
            with pytest.raises(NotPermitted):
                await receipts.settled_to(name_of(stored, 7))

    anyio.run(scenario)
    assert [record.getMessage() for record in caplog.records] == [
        f"{SPOOL}: receipts can't be read, write the server's configuration anew: publish to $JS.API.DIRECT.GET"
    ]
