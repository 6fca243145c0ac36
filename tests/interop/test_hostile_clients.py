"""Clients that take more than they may, from 127.0.0.2, beside an honest one from 127.0.0.1.

Limits are at their defaults, but for two that would take a minute each: `stalled_read_timeout`, and how many
associations an address may open.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
import trustme

from tests.support.certificates import write_pair
from tests.support.exposition import exposition, samples_of
from tests.support.mesh import SERVICES, Ae, Mesh, zone_config
from tests.support.ports import reserve_port, reserve_ports
from tests.support.process import anonymous_bytes, reset_peak, resident_bytes, wait_until
from tests.support.scripted import Aborted, Client, Closed, Rejected, Server, ServerPeer, success
from tests.support.stalls import Stalls
from tests.support.wire import (
    CT_STORAGE,
    RELEASE_RQ_PDU,
    VERIFICATION,
    Command,
    Context,
    PduType,
    associate_rq,
    cancel_rq,
    p_data,
    request,
)

HOSTILE = "127.0.0.2"
MIB = 1024 * 1024
LOCAL_LIMIT_EXCEEDED = (2, 3, 2)
STALLED_SECONDS = 4
ECHOES = 200_000


@pytest.fixture(scope="module")
def pages() -> int:
    """The hospital's first health port; its front-end's."""
    return reserve_ports(len(SERVICES))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, pages: int) -> Iterator[Mesh]:
    """A hospital with a plain listener, one with TLS, and pages; an archive in the cloud."""
    directory = tmp_path_factory.mktemp("hostile")
    issued = trustme.CA().issue_cert("localhost")
    cert, key = directory / "tls.crt", directory / "tls.key"
    write_pair(issued, cert, key)
    archive = Ae("ARCHIVE", reserve_port(), "cloud")
    plain, secure = reserve_port(), reserve_port()
    association = {
        "calling_ae_titles": ["HONEST"],
        "stalled_read_timeout": STALLED_SECONDS,
        "limits": {"openings_at_once": 200, "openings_per_second": 10},
        "listeners": [
            {"host": "127.0.0.1", "port": plain},
            {"host": "127.0.0.1", "port": secure, "tls": {"cert": str(cert), "key": str(key)}},
        ],
    }
    hospital = zone_config(
        "hospital",
        listener=plain,
        more={
            "association": association,
            "observability": {"http": {"host": "127.0.0.1", "port": pages}},
            "routes": [{"called": "*", "to": {"ae": "ARCHIVE"}}],
        },
    )
    with Mesh.start(directory, [hospital, zone_config("cloud", remote_aes=[archive])]) as mesh:
        mesh.aes = {"ARCHIVE": archive}
        mesh.listeners["tls"] = secure
        yield mesh


def hostile(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10, (HOSTILE, 0))


def is_served(mesh: Mesh) -> None:
    """An honest client associates, echoes and goes, within two seconds."""
    with Stalls() as stalls:
        begun = time.monotonic()
        with (
            Server(port=mesh.aes["ARCHIVE"].port),
            Client.open(mesh.listeners["hospital"], called="ANY", calling="HONEST") as client,
        ):
            assert client.echo() == 0
            client.release()
        assert stalls.moved(begun) < 2


def dropped(pages: int, code: str) -> float:
    return sum(
        sample.value
        for sample in samples_of(exposition(pages))
        if sample.name == "dimse_mesh_connections_dropped_total" and sample.labels["code"] == code
    )


@pytest.mark.parametrize("listener", ["hospital", "tls"])
def test_400_idle_connections_from_one_address(mesh: Mesh, pages: int, listener: str) -> None:
    """On the listener with TLS they are handshakes that stall."""
    before = dropped(pages, "too-many-from-address")
    with ExitStack() as opened:
        for _ in range(400):
            opened.enter_context(hostile(mesh.listeners[listener]))
        wait_until(lambda: dropped(pages, "too-many-from-address") - before == 400 - 128, "they are too many")
        is_served(mesh)


def test_500_unfinished_requests_cost_no_more_than_8_megabytes(mesh: Mesh) -> None:
    """Each of 60 KB, from four addresses, by callers that nobody has listed."""
    front_end = mesh.pids()["hospital/association"]
    contexts = [Context(2 * n + 1, CT_STORAGE, ("1.2.840.10008.1.2." + "9" * 40,) * 8) for n in range(120)]
    unfinished = associate_rq(called="ANY", calling="STRANGER", contexts=contexts)[:-1]
    assert len(unfinished) > 60_000
    is_served(mesh)
    reset_peak(front_end)
    before = resident_bytes(front_end)
    with ExitStack() as opened:
        for number in range(500):
            connection = opened.enter_context(
                socket.create_connection(
                    ("127.0.0.1", mesh.listeners["hospital"]), 10, (f"127.0.0.{2 + number % 4}", 0)
                )
            )
            with suppress(ConnectionError):  # it was one too many
                connection.sendall(unfinished)
        is_served(mesh)
        assert resident_bytes(front_end, peak=True) - before < 8 * MIB


def test_connections_that_stay_when_their_associations_are_over(mesh: Mesh, pages: int) -> None:
    before = dropped(pages, "too-many-from-address")
    asked = associate_rq(called="ANY", calling="HONEST", contexts=[Context(1, VERIFICATION)])
    with Server(port=mesh.aes["ARCHIVE"].port), ExitStack() as opened:
        for _ in range(160):
            connection = socket.create_connection(
                ("127.0.0.1", mesh.listeners["hospital"]), 10, ("127.0.0.9", 0)
            )
            client = opened.enter_context(Client(connection))
            client.associate(asked)
            client.send(RELEASE_RQ_PDU)
            assert client.read_pdu().kind == PduType.RELEASE_RP
        wait_until(lambda: dropped(pages, "too-many-from-address") - before == 160 - 128, "they are too many")
    is_served(mesh)


def test_a_flood_of_associations_from_one_address(mesh: Mesh) -> None:
    """For as long as it takes until they are too many; another address is let in all the while."""
    rejected: list[tuple[int, int, int]] = []
    with Server(port=mesh.aes["ARCHIVE"].port):
        for _ in range(1000):
            try:
                with Client(hostile(mesh.listeners["hospital"])) as client:
                    client.associate(
                        associate_rq(called="ANY", calling="HONEST", contexts=[Context(1, VERIFICATION)])
                    )
                    client.release()
            except Rejected as answer:
                rejected.append(answer.triple)
                if len(rejected) == 50:
                    break
    assert rejected, "a burst is let in, a flood is not"
    assert set(rejected) == {LOCAL_LIMIT_EXCEEDED}
    is_served(mesh)
    assert mesh.log.read_text().count("openings-too-fast by association.limits.openings_per_second") <= 20


def test_200_000_operations_that_nobody_answers(mesh: Mesh) -> None:
    """The client isn't read beyond what it may have outstanding."""

    def silent(peer: ServerPeer) -> None:
        peer.accept_association()
        with suppress(Closed, Aborted):
            peer.read_pdu()
            awake.wait(30)
            peer.serve(success)

    awake = threading.Event()
    front_end = mesh.pids()["hospital/association"]
    with (
        Server(silent, port=mesh.aes["ARCHIVE"].port),
        Client.open(mesh.listeners["hospital"], called="ANY", calling="HONEST") as client,
    ):
        before = anonymous_bytes(front_end)
        echoes = b"".join(
            p_data(request(Command.C_ECHO, 1 + number % 65535, VERIFICATION)) for number in range(ECHOES)
        )
        client.sock.settimeout(0.5)
        sent = 0
        try:
            while sent < len(echoes):
                sent += client.sock.send(echoes[sent:])
        except TimeoutError:
            pass
        assert sent < len(echoes) / 2, "it is held back"
        assert anonymous_bytes(front_end) - before < 48 * MIB
        awake.set()


def test_commands_without_end_to_a_target_that_does_not_read(mesh: Mesh) -> None:
    """C-CANCELs are no operations: what they take of the memory is counted, not their bytes alone."""

    def stuck(peer: ServerPeer) -> None:
        peer.accept_association()
        awake.wait(30)

    awake = threading.Event()
    endpoints = [mesh.pids()["hospital/association"], mesh.pids()["cloud/scu"]]
    with (
        Server(stuck, port=mesh.aes["ARCHIVE"].port),
        Client.open(mesh.listeners["hospital"], called="ANY", calling="HONEST") as client,
    ):
        before = [anonymous_bytes(pid) for pid in endpoints]
        cancels = b"".join(p_data(cancel_rq(1 + number % 65535)) for number in range(ECHOES))
        client.sock.settimeout(2)
        sent = 0
        with suppress(TimeoutError):
            while sent < len(cancels):
                sent += client.sock.send(cancels[sent:])
        assert sent < len(cancels), "it is held back"
        grown = [anonymous_bytes(pid) - was for pid, was in zip(endpoints, before, strict=True)]
        assert max(grown) < 24 * MIB
        awake.set()


def test_a_byte_a_second_in_mid_message_is_no_progress(mesh: Mesh, stalls: Stalls) -> None:
    with (
        Server(port=mesh.aes["ARCHIVE"].port),
        Client.open(mesh.listeners["hospital"], called="ANY", calling="HONEST") as client,
    ):
        message = p_data(request(Command.C_ECHO, 1, VERIFICATION))
        client.send(message[:20])
        begun = time.monotonic()
        client.sock.settimeout(0.4)
        for byte in message[20:60]:
            client.sock.send(bytes([byte]))
            try:
                got = client.sock.recv(10)
            except TimeoutError:
                continue
            break
        assert got[0] == 7, "an A-ABORT"
        assert stalls.moved(begun) < 3 * STALLED_SECONDS
    wait_until(lambda: "too-slow-in-mid-message" in mesh.log.read_text(), "it is logged")


def test_a_maximum_length_with_hardly_room_for_data_is_refused_and_the_smallest_is_served(mesh: Mesh) -> None:
    with Server(port=mesh.aes["ARCHIVE"].port):
        for announced in (1, 7, 127, 128):
            asked = associate_rq(
                called="ANY", calling="HONEST", contexts=[Context(1, VERIFICATION)], max_length=announced
            )
            with Client.connect(mesh.listeners["hospital"]) as client:
                client.associate(asked)
                if announced < 128:
                    with pytest.raises(Aborted):
                        client.echo()
                else:
                    assert client.echo() == 0
                    client.release()
    wait_until(lambda: mesh.log.read_text().count("maximum-length-too-small") >= 3, "each is logged")


def test_200_half_open_requests_for_a_health_page(mesh: Mesh, pages: int, stalls: Stalls) -> None:  # noqa: ARG001 - it runs
    with ExitStack() as opened:
        for _ in range(200):
            opened.enter_context(hostile(pages)).send(b"GET /livez HT")
        begun = time.monotonic()
        assert "dimse_mesh_associations_open" in str(exposition(pages))
        assert stalls.moved(begun) < 1
