"""A question that JetStream doesn't take is not taken for one that stands there."""

from __future__ import annotations

from unittest.mock import create_autospec

import anyio
import pytest

from dimse_mesh.dimse.commitment import Reference
from dimse_mesh.mesh import JetStream, JetStreamRefusal, StreamFull
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects
from dimse_mesh.spool import Questions

SPOOL = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, "ARCHIVE")


@pytest.mark.parametrize("refusal", [JetStreamRefusal("not now", number=10008), StreamFull("no room")])
def test_a_refusal_is_told(refusal: JetStreamRefusal) -> None:
    jetstream = create_autospec(JetStream, instance=True)
    jetstream.publish.side_effect = refusal

    async def main() -> None:
        await Questions(jetstream, SPOOL).ask(f"{7:032x}", [Reference("1.2", "1.3")])

    with pytest.raises(type(refusal)):
        anyio.run(main)
