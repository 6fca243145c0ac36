"""Handlers in the process of an endpoint: who asks them, and what happens when that process dies or ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.durable.site import Inbox, site, store
from tests.fault.archive import archive
from tests.fault.clients import ask_get, open_client
from tests.fault.conftest import TARGET
from tests.support.files import synthetic
from tests.support.mesh import Ae, Mesh, two_zones, zone_config
from tests.support.ports import reserve_port
from tests.support.process import wait_until
from tests.support.scripted import Client, Rejected, Server
from tests.support.wire import CT_STORAGE, Context, store_rq

ALL = ["store", "query_retrieve", "n_service"]
CONTEXTS = [Context(1, CT_STORAGE), Context(3, "1.2.840.10008.1.1")]


def store_some(port: int, called: str, count: int = 20) -> None:
    """Store objects of several sizes, and ask for an echo."""
    with Client.open(port, called=called, contexts=CONTEXTS) as client:
        for number in range(1, count + 1):
            answer = client.exchange(store_rq(number, f"1.2.{number}", bytes(number * 10_000)))
            assert answer.status == 0
        assert client.echo(count + 1, context_id=3) == 0
        client.release()


def wait_until_stored(mesh: Mesh) -> None:
    """Wait for the next front-end."""

    def stored() -> bool:
        try:
            store_some(mesh.listeners["hospital"], "PACS", 1)
        except (OSError, AssertionError, Rejected):
            return False
        return True

    wait_until(stored, "the next front-end", timeout=60)


def test_a_site_of_one_machine_has_two_processes_for_everything(tmp_path: Path) -> None:
    """One zone; its front-end hosts two handlers, and its executor the third.

    The queue group finds that one for the front-end; for the C-STOREs of a C-GET its own process asks it.
    """
    target = Ae(TARGET, reserve_port(), "site")
    config = zone_config(
        "site",
        listener=reserve_port(),
        remote_aes=[target],
        more={"association": {"hosted_handlers": ["query_retrieve", "n_service"]}},
    )
    config["scu"]["hosted_handlers"] = ["store"]
    _, server = archive(target.port)
    with Mesh.start(tmp_path, [config]) as mesh, server:
        assert set(mesh.pids()) == {"supervisor", "nats-server", "site/association", "site/scu"}
        store_some(mesh.listeners["site"], TARGET)
        with open_client(mesh.listeners["site"]) as client:
            ask_get(client, 10, 100_000)
            client.release()


def test_the_next_front_end_hosts_them_again(tmp_path: Path) -> None:
    more = {"hospital": {"association": {"hosted_handlers": ALL}}}
    target = Ae("PACS", reserve_port(), "cloud")
    with two_zones(tmp_path, target=target, more=more) as mesh, Server(port=target.port):
        store_some(mesh.listeners["hospital"], "PACS")
        before = mesh.pids()["hospital/association"]
        os.kill(before, signal.SIGKILL)

        wait_until_stored(mesh)
        assert mesh.pids()["hospital/association"] != before


def test_a_draining_front_end_keeps_its_handlers_to_the_end(tmp_path: Path) -> None:
    more = {"hospital": {"association": {"hosted_handlers": ALL}}}
    target = Ae("PACS", reserve_port(), "cloud")
    with two_zones(tmp_path, target=target, more=more) as mesh, Server(port=target.port):
        with Client.open(mesh.listeners["hospital"], called="PACS", contexts=CONTEXTS) as client:
            assert client.exchange(store_rq(1, "1.2.1", b"")).status == 0
            pid = mesh.pids()["hospital/association"]
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: "draining" in mesh.child.output, "the front-end drains")
            for number in range(2, 12):
                assert client.exchange(store_rq(number, f"1.2.{number}", bytes(300_000))).status == 0
            client.release()
        wait_until_stored(mesh)
        assert mesh.pids()["hospital/association"] != pid


@pytest.mark.parametrize("separate", [0, 1])
def test_durable_routes_have_their_keeper_there(tmp_path: Path, separate: int) -> None:
    hospital = {"association": {"hosted_handlers": ALL}, "instances": {"store": separate}}
    inbox = Inbox()
    with site(tmp_path, hospital=hospital) as made, made.destination(inbox):
        assert ("hospital/store" in made.mesh.pids()) is bool(separate)
        sent = [synthetic(number, 50_000) for number in range(10)]
        with made.open() as client:
            for number, content in enumerate(sent, 1):
                assert store(client, content, number) == 0
            client.release()
        assert [arrived.data for arrived in inbox.wait_for(10)] == [content.data for content in sent]
