"""One route, three destinations: each gets everything, whatever the others do."""

from __future__ import annotations

from pathlib import Path

from tests.durable.operator import queue
from tests.durable.site import ARCHIVE, Inbox, served, site, store
from tests.support.files import synthetic
from tests.support.mesh import Ae
from tests.support.ports import reserve_port
from tests.support.scripted import ServerPeer


def hang(peer: ServerPeer) -> None:
    """Accept TCP and say nothing, until the other side gives up."""
    peer.read_request()
    peer.expect_closed()


def test_three_destinations_of_which_one_hangs(tmp_path: Path) -> None:
    second, third = (Ae(name, reserve_port(), "cloud") for name in ("SECOND", "THIRD"))
    sent = [synthetic(number, 100_000, study=number) for number in range(6)]
    route = {"to": [{"ae": ARCHIVE}, {"ae": second.title}, {"ae": third.title}]}
    inboxes = Inbox(), Inbox(), Inbox()
    with site(tmp_path, route=route, more_aes=(second, third), remote={"association_timeout": 1.0}) as where:
        with (
            where.destination_of(hang),
            served(second.port, inboxes[1].script),
            served(third.port, inboxes[2].script),
        ):
            with where.open() as client:
                for content in sent:
                    assert store(client, content) == 0
            for inbox in inboxes[1:]:
                arrived = inbox.wait_for(len(sent))
                assert [got.data for got in arrived] == [content.data for content in sent]
        assert "SECOND: nothing waits" in queue(where, "why")
        with where.destination(inboxes[0]):
            arrived = inboxes[0].wait_for(len(sent), timeout=60)
        assert [got.data for got in arrived] == [content.data for content in sent]
