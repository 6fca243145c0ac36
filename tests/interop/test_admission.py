"""Associations that can't be: who refuses whom, and with which result, source and reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.support import dcmtk
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.ports import reserve_port
from tests.support.process import wait_until
from tests.support.scripted import Aborted, Client, Rejected, Server, ServerPeer, success
from tests.support.stalls import Stalls
from tests.support.way import Way
from tests.support.wire import CT_STORAGE, Context, request, store_rq

CALLED_NOT_RECOGNISED = (1, 1, 7)
CALLING_NOT_RECOGNISED = (1, 1, 3)
TRANSIENT = {(2, 3, 1), (2, 3, 2)}
"""Provider (presentation): temporary congestion, local limit exceeded (PS3.8 §9.3.4)."""


def rejected(port: int, *, called: str, calling: str = "SCRIPTED") -> tuple[int, int, int]:
    with pytest.raises(Rejected) as caught:
        Client.open(port, called=called, calling=calling)
    return caught.value.triple


def test_unknown_called_title_is_rejected_as_not_recognised(way: Way, stalls: Stalls) -> None:
    mesh = way.need_mesh()
    started = time.monotonic()
    assert rejected(mesh.listeners["hospital"], called="NOBODY") == CALLED_NOT_RECOGNISED
    assert stalls.moved(started) < 2, "no interest in a subject is known at once"


def test_unknown_called_title_stops_storescu_with_the_reason(way: Way) -> None:
    result = dcmtk.echoscu(way.need_mesh().listeners["hospital"], called="NO.BODY *")
    assert result.code != 0
    assert "Called AE Title Not Recognized" in result.output


def test_unreachable_target_is_a_transient_reject(way: Way, cloud_ae: Ae) -> None:
    way.need_mesh()
    assert rejected(way.entry(cloud_ae), called=cloud_ae.title) in TRANSIENT


def test_target_that_comes_back_is_reached_again(way: Way, cloud_ae: Ae) -> None:
    way.need_mesh()
    assert rejected(way.entry(cloud_ae), called=cloud_ae.title) in TRANSIENT
    with Server(port=cloud_ae.port), Client.open(way.entry(cloud_ae), called=cloud_ae.title) as client:
        assert client.echo() == 0
        client.release()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A hospital with rules: whom it lets in, what they may do, where it goes."""
    archive = Ae("ARCHIVE", reserve_port(), "cloud")
    narrow = Ae("NARROW", reserve_port(), "cloud")
    private = Ae("PRIVATE", reserve_port(), "cloud")
    configs = [
        zone_config(
            "hospital",
            listener=reserve_port(),
            more={
                "association": {"calling_ae_titles": ["FRIEND", "READER", "NEW NAME"]},
                "routes": [
                    {
                        "called": "*",
                        "calling": "READER",
                        "to": {"ae": "ARCHIVE"},
                        "allow": ["C-ECHO", "C-FIND"],
                    },
                    {
                        "called": "OLD*",
                        "to": {"ae": "ARCHIVE"},
                        "called_ae": "NEWER",
                        "calling_ae": "GATEWAY",
                    },
                    {"called": "ZONE", "to": {"zone": "cloud"}},
                    {"called": "NARROW"},
                    {"called": "PRIVATE"},
                    {"called": "*", "to": {"ae": "ARCHIVE"}},
                ],
            },
        ),
        zone_config(
            "cloud",
            more={"scu": {"stalled_read_timeout": 24}},  # rounds each 6 s
            remote_aes=[
                {"ae_title": archive.title, "host": "127.0.0.1", "port": archive.port, "default": True},
                {
                    "ae_title": narrow.title,
                    "host": "127.0.0.1",
                    "port": narrow.port,
                    "max_associations": 1,
                    "idle_timeout": 6,
                    "called_ae": "TARGETS OWN",
                },
                {
                    "ae_title": private.title,
                    "host": "127.0.0.1",
                    "port": private.port,
                    "from_zones": ["clinic", "cloud"],
                },
            ],
        ),
    ]
    with Mesh.start(tmp_path_factory.mktemp("guarded"), configs) as mesh:
        mesh.aes = {ae.title: ae for ae in (archive, narrow, private)}
        yield mesh


def titles(server: Server) -> tuple[str, str]:
    """Return called and calling AE title as the target got them last."""
    asked = server.wait_for_peers(1)[-1].request
    assert asked is not None
    return asked.called.decode().strip(), asked.calling.decode().strip()


def test_calling_title_that_is_not_let_in_is_rejected(guarded: Mesh) -> None:
    with Server(port=guarded.aes["ARCHIVE"].port) as server:
        got = rejected(guarded.listeners["hospital"], called="ANY", calling="STRANGER")
        assert got == CALLING_NOT_RECOGNISED
        assert server.peers == []


@pytest.mark.parametrize("calling", ["reader", "Reader", "READER\x01", "RE\0ADER", "READER\\", "READER\n"])
def test_odd_spelling_of_a_title_gets_no_wider_route(guarded: Mesh, calling: str) -> None:
    """READER may only echo and find; whoever else is let in may store."""
    port = guarded.listeners["hospital"]
    assert rejected(port, called="ARCHIVE", calling=calling) == CALLING_NOT_RECOGNISED
    assert rejected(port, called="private", calling="FRIEND") == CALLED_NOT_RECOGNISED
    code = "ae-title-in-other-case" if calling.isalpha() else "malformed-ae-title"
    wait_until(lambda: code in guarded.log.read_text(), f"{code} is logged")


def test_zone_that_a_target_does_not_name_is_rejected_and_the_target_never_asked(guarded: Mesh) -> None:
    with Server(port=guarded.aes["PRIVATE"].port) as server:
        got = rejected(guarded.listeners["hospital"], called="PRIVATE", calling="FRIEND")
        assert got == CALLING_NOT_RECOGNISED
        assert server.peers == []


def test_route_sends_every_called_title_to_one_target_titles_unchanged(guarded: Mesh) -> None:
    with Server(port=guarded.aes["ARCHIVE"].port) as server:
        with Client.open(guarded.listeners["hospital"], called="WHATEVER", calling="FRIEND") as client:
            assert client.echo() == 0
            client.release()
        assert titles(server) == ("WHATEVER", "FRIEND")


def test_route_rewrites_titles(guarded: Mesh) -> None:
    with Server(port=guarded.aes["ARCHIVE"].port) as server:
        with Client.open(guarded.listeners["hospital"], called="OLD PACS", calling="FRIEND") as client:
            client.release()
        assert titles(server) == ("NEWER", "GATEWAY")


def test_route_to_a_zone_reaches_its_default_target_titles_unchanged(guarded: Mesh) -> None:
    with Server(port=guarded.aes["ARCHIVE"].port) as server:
        with Client.open(guarded.listeners["hospital"], called="ZONE", calling="FRIEND") as client:
            assert client.echo() == 0
            client.release()
        assert titles(server) == ("ZONE", "FRIEND")


def test_remote_ae_names_the_called_title_itself(guarded: Mesh) -> None:
    with Server(port=guarded.aes["NARROW"].port) as server:
        with Client.open(guarded.listeners["hospital"], called="NARROW", calling="FRIEND") as client:
            client.release()
        assert titles(server) == ("TARGETS OWN", "FRIEND")


def test_limit_of_a_target_is_a_transient_reject_until_one_leaves(guarded: Mesh) -> None:
    with Server(port=guarded.aes["NARROW"].port) as server:
        first = Client.open(guarded.listeners["hospital"], called="NARROW", calling="FRIEND")
        assert rejected(guarded.listeners["hospital"], called="NARROW", calling="FRIEND") in TRANSIENT
        first.release()
        server.join()
        with Client.open(guarded.listeners["hospital"], called="NARROW", calling="FRIEND") as second:
            assert second.echo() == 0
            second.release()


def test_who_holds_the_slot_of_a_target_and_does_nothing_loses_it(guarded: Mesh) -> None:
    """After 600 s, unless the target's idle_timeout says otherwise."""
    port = guarded.listeners["hospital"]
    with Server(port=guarded.aes["NARROW"].port) as server:
        with Client.open(port, called="NARROW", calling="FRIEND") as idle:
            assert rejected(port, called="NARROW", calling="FRIEND") in TRANSIENT
            with pytest.raises(Aborted):
                idle.receive_message()
        server.join()
        with Client.open(port, called="NARROW", calling="FRIEND") as second:
            assert second.echo() == 0
            second.release()


def test_refused_operation_gets_not_authorised_and_its_data_set_is_drained(guarded: Mesh) -> None:
    contexts = [Context(1, CT_STORAGE), Context(3, "1.2.840.10008.1.1")]
    with Server(port=guarded.aes["ARCHIVE"].port) as server:
        with Client.open(
            guarded.listeners["hospital"], called="ANY", calling="READER", contexts=contexts
        ) as client:
            for number, size in enumerate((0, 10, 300_000, 3_000_000), 1):
                answer = client.exchange(store_rq(number, f"1.2.{number}", bytes(size)))
                assert answer.status == 0x0124
                assert answer.number(0x0120) == number
            assert client.echo(9, context_id=3) == 0
            client.release()
        server.join()
        # Only what was allowed has reached the target.
        assert [message.field for message in server.peers[0].received] == [request(0x30, 9, "1.2").field]


def test_target_gets_not_authorised_for_what_its_route_does_not_allow(guarded: Mesh) -> None:
    """It may not store at a client whose route allows C-ECHO and C-FIND; the client hears nothing of it."""
    statuses: list[int | None] = []
    answered = threading.Event()

    def target(peer: ServerPeer) -> None:
        peer.accept_association()
        statuses.append(peer.exchange(store_rq(1, "1.2.3", bytes(200_000))).status)
        answered.set()
        peer.serve(success)

    contexts = [Context(1, CT_STORAGE), Context(3, "1.2.840.10008.1.1")]
    with Server(target, port=guarded.aes["ARCHIVE"].port) as server:
        with Client.open(
            guarded.listeners["hospital"], called="ANY", calling="READER", contexts=contexts
        ) as client:
            assert answered.wait(20)
            assert client.echo(9, context_id=3) == 0
            client.release()
            assert [message.field for message in client.received] == [0x8030]
        server.join()
    assert statuses == [0x0124]
