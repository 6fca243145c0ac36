"""One route, three destinations: each gets everything, whatever the others do, and the bytes stand on disk once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest

from dimse_mesh.app.queue import open_queues
from dimse_mesh.runtime.settings import load_settings
from dimse_mesh.runtime.spools import shares_of, spools_of
from tests.durable.modality import Modality, check, has_all
from tests.durable.operator import numbers, queue
from tests.durable.requestor import MODALITY, Report, Reports, ask, asking, stored
from tests.durable.site import ARCHIVE, Inbox, Site, served, site, store
from tests.support.files import synthetic
from tests.support.mesh import Ae
from tests.support.ports import reserve_port
from tests.support.scripted import ServerPeer


def hang(peer: ServerPeer) -> None:
    """Accept TCP and say nothing, until the other side gives up."""
    peer.read_request()
    peer.expect_closed()


def hang_with_the_first_object(peer: ServerPeer) -> None:
    """Take an object, and don't answer."""
    peer.accept_association()
    peer.receive_message()
    peer.expect_closed()


@pytest.mark.parametrize("hang", [hang, hang_with_the_first_object])
def test_three_destinations_of_which_one_hangs(tmp_path: Path, hang: Callable[[ServerPeer], None]) -> None:
    second, third = (Ae(name, reserve_port(), "cloud") for name in ("SECOND", "THIRD"))
    sent = [synthetic(number, 100_000, study=number) for number in range(6)]
    route = {"to": [{"ae": ARCHIVE}, {"ae": second.title}, {"ae": third.title}]}
    inboxes = Inbox(), Inbox(), Inbox()
    quick = {"retry": {"first": 0.2, "longest": 1.0}, "look_interval": 0.5, "response_timeout": 3.0}
    with site(
        tmp_path,
        route=route,
        more_aes=(second, third),
        remote={"association_timeout": 1.0},
        cloud={"delivery": quick},
    ) as where:
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
            where.wait_until(
                lambda: "ARCHIVE: 6 wait: timeout" in queue(where, "why", ARCHIVE), "the cause is said"
            )
        assert "SECOND: nothing waits" in queue(where, "why")
        with where.destination(inboxes[0]):
            arrived = inboxes[0].wait_for(len(sent), timeout=60)
        assert [got.data for got in arrived] == [content.data for content in sent]


ALONE = "ALONE"
"""Called AE title of a route to one of the destinations alone."""


@contextmanager
def three(directory: Path) -> Iterator[tuple[Site, list[int]]]:
    """Start a site with three destinations; yield the ports where they are expected."""
    others = [Ae(name, reserve_port(), "cloud") for name in ("SECOND", "THIRD")]
    destinations = [{"ae": ARCHIVE}, *({"ae": other.title} for other in others)]
    alone = {"called": ALONE, "to": {"ae": ARCHIVE}, "delivery": "durable"}
    with site(
        directory,
        route={"to": destinations},
        more_aes=others,
        more_routes=[alone],
        hospital={
            "spool": {"max_bytes": 1 << 30, "sweep_interval": 1.0, "deadline": 3.0},
            "association": {"stalled_read_timeout": 1.0},
            "scu": {"remote_aes": [{"ae_title": MODALITY, "host": "127.0.0.1", "port": reserve_port()}]},
        },
    ) as where:
        yield where, [where.port, *(other.port for other in others)]


async def _kept(where: Site) -> tuple[int, int]:
    """Return how many bytes nats-server keeps for all destinations, and how many messages of shared pieces."""
    settings = load_settings(where.hospital)
    shared = [share.spool for share in shares_of(settings)]
    size = pieces = 0
    async with open_queues(settings) as queues:
        for spool in (*spools_of(settings), *shared):
            state = (await queues.jetstream.request(f"STREAM.INFO.{spool.stream}"))["state"]
            size += state["bytes"]
            pieces += state["messages"] if spool in shared else 0
    return size, pieces


def kept(where: Site) -> tuple[int, int]:
    """As `_kept`."""
    return anyio.run(partial(_kept, where))


def has_let_go(where: Site) -> bool:
    """Tell whether no shared pieces are kept any more."""
    return kept(where)[1] == 0


def test_bytes_stand_on_disk_once_until_the_last_destination_has_them(tmp_path: Path) -> None:
    sent = [synthetic(number, size, study=number) for number, size in enumerate((525_000, 60_000, 2_500_000))]
    with three(tmp_path) as (where, ports):
        with where.open(called=ALONE) as client:
            for content in sent:
                assert store(client, content) == 0
        once, _ = kept(where)
        with where.open() as client:
            for content in sent:
                assert store(client, content) == 0
        both, pieces = kept(where)
        assert both - once < 1.05 * once
        assert pieces == 5
        for name in ("SECOND", "THIRD"):
            assert numbers(where, name)["bytes"] >= sum(len(content.data) for content in sent)
        first = Inbox()
        with served(ports[0], first.script):
            first.wait_for(2 * len(sent))
        where.wait_until(
            lambda: "ARCHIVE: nothing waits" in queue(where, "why"), "one of them has everything"
        )
        assert kept(where)[1] == pieces
        where.wait_until(lambda: numbers(where)["bytes"] == 0, "nothing is left for this one")
        inboxes = Inbox(), Inbox()
        with served(ports[1], inboxes[0].script), served(ports[2], inboxes[1].script):
            for inbox in inboxes:
                arrived = inbox.wait_for(len(sent))
                assert [got.data for got in arrived] == [content.data for content in sent]
            where.wait_until(partial(has_let_go, where), "the pieces are removed")


def _kill(directory: Path, victims: Iterable[str]) -> None:
    """Kill one after the other while a client stores for three destinations, and check what each has got then."""
    inboxes = [Inbox() for _ in range(3)]
    with three(directory) as (where, ports), ExitStack() as stack:
        for port, inbox in zip(ports, inboxes, strict=True):
            stack.enter_context(served(port, inbox.script))
        with Modality(where, "CT1", 1) as modality:
            for victim in victims:
                seen = len(modality.acknowledged)
                where.kill(victim)
                where.wait_until(partial(modality.has_more_than, seen + 8), "it stores again")
        for inbox in inboxes:
            where.wait_until(partial(has_all, inbox, modality), "everything acknowledged arrives")
            check(inbox, modality)
        where.wait_until(partial(has_let_go, where), "no pieces stay")
        for name in (ARCHIVE, "SECOND", "THIRD"):
            assert numbers(where, name)["failed"] == 0


def test_whoever_is_killed_each_gets_everything_and_no_pieces_stay(tmp_path: Path) -> None:
    _kill(tmp_path, ("hospital/store", "cloud/delivery", "nats-server"))


@pytest.mark.soak
def test_soak_of_fan_out(tmp_path: Path) -> None:
    mortal = ("hospital/association", "hospital/store", "cloud/delivery", "nats-server")
    _kill(tmp_path, random.Random(1).choices(mortal, k=60))


@pytest.mark.parametrize("refusing", [None, 0, 2])
def test_each_destination_has_receipts_of_its_own(tmp_path: Path, refusing: int | None) -> None:
    """Numbered alike in each spool: nats-server doesn't take three receipts of an object for one sent three times."""
    reports = Reports()
    with three(tmp_path) as (where, ports), ExitStack() as stack:
        for number, port in enumerate(ports):
            stack.enter_context(served(port, Inbox(status=0xC000 if number == refusing else 0).script))
        wanted = stored(where, [synthetic(number, 20_000) for number in range(3)])
        with asking(where, reports) as assoc:
            status, transaction = ask(assoc, wanted)
            assert status.Status == 0
            report = reports.wait_for()
    instances = [uid for _, uid in wanted]
    if refusing is None:
        assert report == Report(1, transaction, instances, {}, "")
    else:
        assert report == Report(2, transaction, [], dict.fromkeys(instances, 0x0110), "")


def test_what_an_operator_drops_or_sends_elsewhere_is_let_go(tmp_path: Path) -> None:
    content = synthetic(1, 200_000)
    inbox, refusing = Inbox(), Inbox(status=0xC000)
    with three(tmp_path) as (where, ports):
        with where.open() as client:
            assert store(client, content) == 0
        queue(where, "pause", "SECOND", "--reason", "it moves")
        queue(where, "redirect", "SECOND", "THIRD", "--waiting")
        with where.destination(inbox), served(ports[2], refusing.script):
            assert inbox.wait_for(1)[0].data == content.data
            where.wait_until(lambda: numbers(where, "THIRD")["failed"] == 2, "there are dead letters")
        assert [got.data for got in refusing.objects] == [content.data] * 2
        assert kept(where)[1] == 1, "a dead letter needs its pieces"
        queue(where, "drop", "THIRD", "--yes")
        where.wait_until(partial(has_let_go, where), "the pieces are removed")
