"""A destination with a schedule gets nothing outside of it; one with a limit gets its objects no faster."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.durable.operator import dead_letters, queue
from tests.durable.site import ARCHIVE, Inbox, site, store
from tests.support.files import synthetic

QUICK = {"retry": {"first": 0.2, "longest": 1.0}, "look_interval": 0.5}


def test_nothing_is_sent_outside_of_the_schedule(tmp_path: Path) -> None:
    hours = [(datetime.now(UTC) + timedelta(hours=ahead)).strftime("%H:00") for ahead in (3, 4)]
    closed = {"ae": ARCHIVE, "windows": [{"start": hours[0], "end": hours[1]}]}
    inbox = Inbox()
    with site(tmp_path, cloud={"delivery": {**QUICK, "pace": [closed]}}) as where:
        with where.destination(inbox), where.open() as client:
            for number in range(3):
                assert store(client, synthetic(number, 10_000)) == 0
            where.wait_until(
                lambda: "outside its schedule" in queue(where, "why"), "the queue says why it waits"
            )
            assert inbox.instances == []
        port = where.port
    opened = {"ae": ARCHIVE, "windows": [{"start": "00:00", "end": "00:00"}]}
    paced = {"delivery": {**QUICK, "pace": [opened]}}
    with site(tmp_path, port=port, cloud=paced) as where, where.destination(inbox):
        inbox.wait_for(3)


def test_a_limit_of_bytes_a_second(tmp_path: Path) -> None:
    inbox = Inbox()
    limited = {"ae": ARCHIVE, "bytes_per_second": 200_000}
    with site(tmp_path, cloud={"delivery": {**QUICK, "pace": [limited]}}) as where, where.destination(inbox):
        sent = [synthetic(number, 300_000) for number in range(2)]
        with where.open() as client:
            for content in sent:
                assert store(client, content) == 0
            began = time.monotonic()
        arrived = inbox.wait_for(2)
        assert time.monotonic() - began > 2
    assert [got.data for got in arrived] == [content.data for content in sent]


def test_a_destination_with_a_limit_of_attempts_of_its_own(tmp_path: Path) -> None:
    own = {"ae": ARCHIVE, "retry": {"first": 0.1, "longest": 0.2, "attempts": 2}}
    endless = {"retry": {"first": 0.1, "longest": 0.2, "attempts": 0}, "pace": [own]}
    with site(tmp_path, cloud={"delivery": endless}) as where, where.destination(Inbox(status=0xA700)):
        with where.open() as client:
            assert store(client, synthetic(1, 2_000)) == 0
        where.wait_until(lambda: len(dead_letters(where)) == 1, "it is a dead letter")
        assert (dead_letters(where)[0]["cause"], dead_letters(where)[0]["attempts"]) == (
            "out-of-resources",
            2,
        )
