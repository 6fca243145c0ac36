"""An operator sends to another destination what its own doesn't take."""

from __future__ import annotations

from pathlib import Path

from tests.durable.operator import dead_letters, numbers, queue
from tests.durable.site import ARCHIVE, Inbox, served, site, store
from tests.support.files import synthetic
from tests.support.mesh import Ae
from tests.support.ports import reserve_port

OTHER = "OTHER"


def test_dead_letters_and_what_waits_go_to_another_destination(tmp_path: Path) -> None:
    other = Ae(OTHER, reserve_port(), "cloud")
    small, large, late = synthetic(1, 3_000), synthetic(2, 3_000_000), synthetic(3, 200_000)
    inbox, elsewhere = Inbox(status=0xC000), Inbox()
    routes = [{"called": OTHER, "to": {"ae": OTHER}, "delivery": "durable"}]
    with site(tmp_path, more_aes=(other,), more_routes=routes) as where:
        with where.open() as client:
            for content in (small, large):
                assert store(client, content) == 0
        with where.destination(inbox):
            where.wait_until(lambda: len(dead_letters(where)) == 2, "both are dead letters")
        queue(where, "pause", ARCHIVE)
        with where.open() as client:
            assert store(client, late) == 0
        queue(where, "redirect", ARCHIVE, "NOBODY", code=1)
        assert "1 sent to OTHER" in queue(where, "redirect", ARCHIVE, OTHER, large.sop_instance)
        assert [letter["sop_instance"] for letter in dead_letters(where)] == [small.sop_instance]
        queue(where, "redirect", ARCHIVE, OTHER)
        queue(where, "redirect", ARCHIVE, OTHER, "--waiting")
        assert (numbers(where)["waiting"], numbers(where)["failed"]) == (0, 0)
        with served(other.port, elsewhere.script):
            arrived = elsewhere.wait_for(3)
        assert [(got.instance, got.data, got.called) for got in arrived] == [
            (content.sop_instance, content.data, OTHER) for content in (large, small, late)
        ]
        queue(where, "resume", ARCHIVE)  # what is paused is left alone, its names, too
        where.wait_until(lambda: numbers(where)["bytes"] == 0, "the old queue is empty")
