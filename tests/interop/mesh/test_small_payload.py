"""A nats-server that takes small messages only: what fits none of them ends its own association."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.files import synthetic
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.nats import NatsServer
from tests.support.ports import reserve_port
from tests.support.scripted import Aborted, Client, Rejected, Server
from tests.support.wire import CT_STORAGE, EXPLICIT_LE, VERIFICATION, Command, Context, request, store_rq

STORAGE = (Context(1, CT_STORAGE, (EXPLICIT_LE,)), Context(3, VERIFICATION))


def started(directory: Path, max_payload: int) -> Iterator[Mesh]:
    server = NatsServer(directory / "nats", config=f"max_payload: {max_payload}")
    server.start()
    more = {"nats": {"servers": [server.url]}}
    archive = Ae("ARCHIVE", reserve_port(), "cloud")
    configs = [
        zone_config("hospital", listener=reserve_port(), more=more),
        zone_config("cloud", remote_aes=[archive], more=more),
    ]
    try:
        with Mesh.start(directory / "mesh", configs, nats_port=server.port) as mesh:
            mesh.aes = {archive.title: archive}
            yield mesh
    finally:
        server.stop()


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    yield from started(tmp_path_factory.mktemp("small"), 64 * 1024)


def test_a_large_object_passes_in_small_chunks(mesh: Mesh) -> None:
    content = synthetic(1, 3_000_000)
    with Server(port=mesh.aes["ARCHIVE"].port) as server:
        with Client.open(mesh.listeners["hospital"], called="ARCHIVE", contexts=STORAGE) as client:
            asked = store_rq(1, content.sop_instance, content.data, sop_class=content.sop_class)
            assert client.exchange(asked).status == 0
            client.release()
        assert server.wait_for_peers(1)[0].received[0].data == content.data
    assert "max_payload is 65536 bytes: chunks are smaller" in mesh.log.read_text()


def test_a_command_that_fits_no_message_ends_its_association_alone(mesh: Mesh) -> None:
    with (
        Server(port=mesh.aes["ARCHIVE"].port),
        Client.open(mesh.listeners["hospital"], called="ARCHIVE", contexts=STORAGE) as other,
    ):
        odd = request(Command.C_ECHO, 1, VERIFICATION, context_id=3, more={0x00005110: b"x" * 65_440})
        with (
            Client.open(mesh.listeners["hospital"], called="ARCHIVE", contexts=STORAGE) as client,
            pytest.raises(Aborted),
        ):
            client.exchange(odd)
        assert other.echo(context_id=3) == 0
        other.release()
    assert "Traceback" not in mesh.log.read_text()


def test_a_request_that_fits_no_message_is_refused(mesh: Mesh) -> None:
    contexts = [
        Context(2 * n + 1, CT_STORAGE, tuple(f"1.2.{m}.{'9' * 50}" for m in range(20))) for n in range(100)
    ]
    with Server(port=mesh.aes["ARCHIVE"].port):
        with pytest.raises((Aborted, Rejected)):
            Client.open(mesh.listeners["hospital"], called="ARCHIVE", contexts=contexts)
        with Client.open(mesh.listeners["hospital"], called="ARCHIVE", contexts=STORAGE) as client:
            assert client.echo(context_id=3) == 0
            client.release()


def test_too_small_a_server_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="max_payload is 32768 bytes: it has to be 65536 at least"):
        next(started(tmp_path, 32 * 1024))
