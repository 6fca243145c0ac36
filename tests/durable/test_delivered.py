"""What a durable route has acknowledged arrives: identical, in order, whoever was down meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.durable.site import ARCHIVE, Inbox, Site, message_of, site, store
from tests.support.files import synthetic


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("durable")) as made:
        yield made


def test_objects_arrive_identical_and_in_order(shared: Site) -> None:
    inbox = Inbox()
    sizes = (100, 9_000, 70_000, 525_000, 3_000_000)
    sent = [synthetic(number, size, study=number // 2) for number, size in enumerate(sizes * 4)]
    with shared.destination(inbox), shared.open() as client:
        assert client.echo(context_id=3) == 0
        for content in sent:
            assert store(client, content) == 0
        client.release()
        arrived = inbox.wait_for(len(sent))
    assert [(got.instance, got.data) for got in arrived] == [(c.sop_instance, c.data) for c in sent]
    assert {(got.called, got.calling) for got in arrived} == {(ARCHIVE, "CT1")}


def test_delivery_goes_behind_everything_else_on_a_busy_machine(shared: Site) -> None:
    niceness = {name: os.getpriority(os.PRIO_PROCESS, pid) for name, pid in shared.mesh.pids().items()}
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert niceness.pop("cloud/delivery") == min(usual + 10, 19)
    assert set(niceness.values()) == {usual}


def test_destination_down_for_the_whole_ingest(shared: Site) -> None:
    sent = [synthetic(100 + number, 9_000) for number in range(50)]
    with shared.open() as client:
        for content in sent:
            assert store(client, content) == 0
        client.release()
    inbox = Inbox()
    with shared.destination(inbox):
        arrived = inbox.wait_for(len(sent))
    assert [got.data for got in arrived] == [content.data for content in sent]


def test_an_association_that_is_aborted_after_three_objects(shared: Site) -> None:
    sent = [synthetic(200 + number, 300_000) for number in range(3)]
    half = message_of(synthetic(203, 2_000_000))
    inbox = Inbox()
    client = shared.open()
    for content in sent:
        assert store(client, content) == 0
    client.send_message(half, sizes=None)
    client.reset()
    with shared.open() as last:
        assert store(last, synthetic(204, 100)) == 0
    with shared.destination(inbox):
        arrived = inbox.wait_for(4)
    ends = {got.instance for got in arrived}
    assert ends >= {content.sop_instance for content in sent}


def test_nothing_goes_twice_while_nobody_is_killed(tmp_path: Path) -> None:
    """The queue runs empty again and again, while what was delivered is still being removed."""
    inbox = Inbox()
    with site(tmp_path) as where, where.destination(inbox):
        with where.open() as client:
            for number in range(2_000):
                assert store(client, synthetic(number, 2_000), number % 60_000 + 1) == 0
            client.release()
        inbox.wait_for(2_000)
    assert len(set(inbox.instances)) == len(inbox.instances) == 2_000


def test_what_was_acknowledged_outlasts_a_stop_though_nobody_says_where_to_keep_it(tmp_path: Path) -> None:
    sent, inbox = [synthetic(number, 200_000) for number in range(3)], Inbox()
    with site(tmp_path, data_dir=False) as where, where.open() as client:
        for number, content in enumerate(sent, 1):
            assert store(client, content, number) == 0
        client.release()
    assert (tmp_path / "hospital.jetstream").is_dir()
    with site(tmp_path, data_dir=False) as where, where.destination(inbox):
        arrived = inbox.wait_for(len(sent))
    assert [got.data for got in arrived] == [content.data for content in sent]
