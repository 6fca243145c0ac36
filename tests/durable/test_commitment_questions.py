"""A question of storage commitment stands once, however often it is put."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from dimse_mesh.dimse.commitment import Reference
from dimse_mesh.mesh import JetStream, WrongLastSequence
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.spool import Questions
from tests.durable.site import Site, site
from tests.durable.test_stolen_key import SPOOL, joined
from tests.support.wire import CT_STORAGE

QUESTION = f"{7:032x}"


async def _put_twice(where: Site) -> None:
    async with (
        joined(where, Role.ASSOCIATION, zone="hospital", instance="asking") as asking,
        joined(where, Role.DELIVERY, zone="cloud", instance="asked") as asked,
    ):
        ours, theirs = JetStream(asking, deadline=30), JetStream(asked, deadline=30)
        await ours.start()
        await theirs.start()
        for _ in range(2):
            await Questions(ours, SPOOL).ask(QUESTION, [Reference(CT_STORAGE, "1.2.3")])
        with pytest.raises(WrongLastSequence):
            await ours.publish(SPOOL.question(QUESTION), b"x", message_id="other", replaces=0)
        found = await Questions(theirs, SPOOL).open()
    assert [each.question.question_id for each in found] == [QUESTION]


def test_one_that_is_put_twice_stands_once(tmp_path: Path) -> None:
    with site(tmp_path, cloud={"instances": {"delivery": 0}}) as where:
        anyio.run(_put_twice, where)
