"""A target's own list of calling AE titles holds for what durable routes deliver, too."""

from __future__ import annotations

from pathlib import Path

from tests.durable.operator import queue
from tests.durable.site import ARCHIVE, Inbox, site, store
from tests.support.files import synthetic


def test_a_title_that_the_target_does_not_list_waits_and_the_others_are_delivered(tmp_path: Path) -> None:
    with site(tmp_path, remote={"from_calling": ["CT*"]}) as where:
        inbox = Inbox()
        with where.destination(inbox):
            for calling, number in (("STRANGER", 1), ("CT1", 2)):
                with where.open(calling=calling) as client:
                    assert store(client, synthetic(number, 20_000, study=number)) == 0
                    client.release()
            assert [one.calling for one in inbox.wait_for(1)] == ["CT1"]
            where.wait_until(
                lambda: "scu.remote_aes[0].from_calling" in queue(where, "why", ARCHIVE),
                "queue why names the line",
            )
            assert [one.calling for one in inbox.wait_for(1)] == ["CT1"]
