"""AE titles that are rewritten on the way to a target are translated back on the way home."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.support.mesh import Mesh, zone_config
from tests.support.permitted import permitted_server
from tests.support.ports import reserve_port
from tests.support.scripted import Client, Server, ServerPeer
from tests.support.wire import (
    CT_STORAGE,
    STORAGE_COMMITMENT,
    Command,
    Context,
    Message,
    Tag,
    request,
    response,
    store_rq,
)

MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
ORIGINATOR, ORIGINATOR_ID = 0x1030, 0x1031
CLIENTS = ("CT1", "CT2", "WS1")


@dataclass(slots=True)
class Arrived:
    """An association that came to an AE of the hospital."""

    at: str
    called: str
    calling: str
    messages: list[Message] = field(default_factory=list)


class Site:
    """Two zones; AEs of the hospital that note what arrives; a target of the cloud's under other titles."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.seen: list[tuple[str, str]] = []
        """Called and calling AE title of the associations that the target got."""
        self._lock = threading.Lock()
        self.clients = {title: Server(self._receiving(title)) for title in CLIENTS}
        self.target = Server(self._target)
        self.entry, self.way_back = reserve_port(), reserve_port()
        hospital = zone_config(
            "hospital",
            listener=self.entry,
            remote_aes=[
                {"ae_title": title, "host": "127.0.0.1", "port": server.port}
                for title, server in self.clients.items()
            ],
            routes=[{"called": "ARCHIVE", "to": {"ae": "PACS"}}],
        )
        pacs = {"ae_title": "PACS", "host": "127.0.0.1", "port": self.target.port}
        rewritten = {**pacs, "called_ae": "REALPACS", "calling_ae": "MESH"}
        cloud = zone_config(
            "cloud", listener=self.way_back, remote_aes=[rewritten, {**pacs, "ae_title": "PLAIN"}]
        )
        self.configs = [hospital, cloud]

    def stop(self) -> None:
        """Stop the peers."""
        for server in (*self.clients.values(), self.target):
            server.stop()

    def _receiving(self, title: str) -> Callable[[ServerPeer], None]:
        def script(peer: ServerPeer) -> None:
            asked = peer.accept_association()
            arrived = Arrived(title, asked.called.decode().strip(), asked.calling.decode().strip())

            def answer(message: Message) -> Iterable[Message]:
                arrived.messages.append(message)
                return [response(message)]

            with self._lock:
                self.arrived.append(arrived)
            peer.serve(answer)

        return script

    def _target(self, peer: ServerPeer) -> None:
        asked = peer.accept_association()
        called, calling = asked.called.decode().strip(), asked.calling.decode().strip()
        self.seen.append((called, calling))

        def answer(message: Message) -> Iterable[Message]:
            if message.field == Command.C_MOVE:
                self._send_to(message.text(Tag.MOVE_DESTINATION), called, calling, message)
            return [response(message)]

        peer.serve(answer)

    def _send_to(self, destination: str, own: str, originator: str, move: Message) -> None:
        more: dict[int, int | str | bytes] = {
            Tag.PRIORITY: 0,
            Tag.AFFECTED_SOP_INSTANCE: "1.2.3",
            ORIGINATOR: originator,
            ORIGINATOR_ID: move.number(Tag.MESSAGE_ID),
        }
        storing = [Context(1, CT_STORAGE)]
        with Client.open(self.way_back, called=destination, calling=own, contexts=storing) as client:
            sent = request(Command.C_STORE, 1, CT_STORAGE, data=b"data", more=more)
            assert client.exchange(sent).status == 0
            assert client.exchange(store_rq(2, "1.2.4", b"data")).status == 0
            client.release()

    def report(self, to: str, own: str) -> None:
        """Report a storage commitment on a new association, as the target."""
        contexts = [Context(1, STORAGE_COMMITMENT)]
        with Client.open(self.way_back, called=to, calling=own, contexts=contexts) as client:
            event = request(
                Command.N_EVENT_REPORT,
                1,
                STORAGE_COMMITMENT,
                data=b"report",
                more={Tag.AFFECTED_SOP_INSTANCE: "1.2.840.10008.1.20.1.1", 0x1002: 1},
            )
            assert client.exchange(event).status == 0
            client.release()

    def ask(self, called: str, calling: str, sop_class: str, message: Message) -> None:
        """Send a request as a client of the hospital."""
        contexts = [Context(1, sop_class)]
        with Client.open(self.entry, called=called, calling=calling, contexts=contexts) as client:
            assert client.exchange(message).status == 0
            client.release()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run it under the permissions that `nats-config` writes."""
    directory, site = tmp_path_factory.mktemp("site"), Site()
    with permitted_server(directory, site.configs) as (nats, bus):
        configs = [{**config, "nats": bus.access(config["zone"], nats.url)} for config in site.configs]
        with Mesh.start(directory, configs, nats_port=nats.port):
            yield site
    site.stop()


@pytest.fixture
def site(running: Site) -> Site:
    running.arrived.clear()
    running.seen.clear()
    return running


def move(message_id: int, destination: str) -> Message:
    more: dict[int, int | str | bytes] = {Tag.PRIORITY: 0, Tag.MOVE_DESTINATION: destination}
    return request(Command.C_MOVE, message_id, MOVE, data=b"keys", more=more)


def commitment(message_id: int) -> Message:
    more: dict[int, int | str | bytes] = {0x1001: "1.2.840.10008.1.20.1.1", 0x1008: 1}
    return request(Command.N_ACTION, message_id, STORAGE_COMMITMENT, data=b"please", more=more)


@pytest.mark.parametrize("called", ["PACS", "ARCHIVE"])
def test_sub_operations_of_a_move_show_the_names_that_the_client_knows(site: Site, called: str) -> None:
    site.ask(called, "CT1", MOVE, move(7, "WS1"))
    assert site.seen == [("REALPACS", "MESH")]
    (arrived,) = site.arrived
    assert (arrived.at, arrived.called, arrived.calling) == ("WS1", "WS1", called)
    first, second = arrived.messages
    assert first.text(ORIGINATOR) == "CT1"
    assert first.number(ORIGINATOR_ID) == 7
    assert first.data == b"data"
    assert ORIGINATOR not in second.elements


def test_moves_of_two_clients_with_one_message_id_are_told_apart(site: Site) -> None:
    site.ask("PACS", "CT1", MOVE, move(9, "WS1"))
    site.ask("PACS", "CT2", MOVE, move(9, "CT2"))
    site.ask("PACS", "CT2", MOVE, move(9, "WS1"))
    assert [(one.at, one.messages[0].text(ORIGINATOR)) for one in site.arrived] == [
        ("WS1", "CT1"),
        ("CT2", "CT2"),
        ("WS1", "CT2"),
    ]


def test_command_sets_of_sub_operations_that_nothing_is_known_of_pass_unchanged(site: Site) -> None:
    site.ask("PACS", "CT1", MOVE, move(11, "WS1"))
    odd: dict[int, int | str | bytes] = {Tag.PRIORITY: 0, ORIGINATOR: "OTHER", ORIGINATOR_ID: 4711}
    sent = request(Command.C_STORE, 1, CT_STORAGE, data=b"data", more=odd)
    contexts = [Context(1, CT_STORAGE)]
    with Client.open(site.way_back, called="WS1", calling="REALPACS", contexts=contexts) as client:
        assert client.exchange(sent).status == 0
        client.release()
    assert site.arrived[-1].messages[0].command == sent.command


def test_commitment_is_reported_to_the_client_that_asked_for_it(site: Site) -> None:
    site.ask("PACS", "CT1", STORAGE_COMMITMENT, commitment(1))
    site.ask("PACS", "CT2", STORAGE_COMMITMENT, commitment(1))
    site.report("MESH", "REALPACS")
    site.report("MESH", "REALPACS")
    assert [(one.at, one.called, one.calling) for one in site.arrived] == [
        ("CT1", "CT1", "PACS"),
        ("CT2", "CT2", "PACS"),
    ]
    assert site.arrived[0].messages[0].data == b"report"


def test_target_whose_titles_are_not_rewritten_is_shown_as_it_is(site: Site) -> None:
    site.ask("PLAIN", "CT1", MOVE, move(7, "WS1"))
    (arrived,) = site.arrived
    assert arrived.calling == "PLAIN"
    assert arrived.messages[0].text(ORIGINATOR) == "CT1"


def test_association_of_its_own_shows_the_targets_own_title(site: Site) -> None:
    contexts = [Context(1, CT_STORAGE)]
    with Client.open(site.way_back, called="CT2", calling="PLAIN", contexts=contexts) as client:
        assert client.exchange(store_rq(1, "1.2.3", b"data")).status == 0
        client.release()
    assert [(one.at, one.calling) for one in site.arrived] == [("CT2", "PLAIN")]
