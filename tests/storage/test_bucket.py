"""A bucket of a real S3 server as a destination: all is there that was acknowledged, whatever the server does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.durable.disks import disk
from tests.durable.site import message_of
from tests.storage.mesh import Stores, files_in, stores
from tests.storage.s3 import S3Server
from tests.support.files import UID_ROOT, DicomFile, enhanced_ct, one_of_each_syntax, synthetic, take_apart
from tests.support.process import wait_until
from tests.support.wire import Status, fragments, pdu

PART = 5 << 20
LARGE = 2 * PART + 1_000_000


@pytest.fixture(scope="module")
def running(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    places = {
        "BUCKET": server.settings("some/prefix", part_size=PART),
        "VERSIONS": server.settings("versions", part_size=PART, on_conflict="version"),
        "STRANGER": server.settings("x", s3={**server.settings()["s3"], "secret_access_key": "wrong"}),
        "NOWHERE": server.settings("x", url="s3://no-such-bucket"),
    }
    routes = [{"called": "LATER", "to": {"ae": "BUCKET"}, "delivery": "durable"}]
    with stores(tmp_path_factory.mktemp("mesh"), places, routes=routes) as started:
        yield started


def objects_in(server: S3Server, prefix: str, *, study: int | None = None) -> list[DicomFile]:
    """Return the objects below a prefix, or those of one study there, in the order of their keys."""
    folder = f"{prefix}/{UID_ROOT}.{study}" if study is not None else prefix
    return list(files_in(server.bucket / folder).values())


def refused(running: Stores, content: DicomFile, called: str) -> str:
    """Store an object that is refused; return what the log says of it."""
    before = len(running.mesh.log.read_text())
    assert running.store(called, content) == [Status.OUT_OF_RESOURCES]
    line = f"objects for {called} are refused: "
    wait_until(lambda: line in running.mesh.log.read_text()[before:], "the log has a line")
    return running.mesh.log.read_text()[before:].partition(line)[2].splitlines()[0]


def test_objects_of_every_size_and_syntax(running: Stores, server: S3Server) -> None:
    small = [
        replace(take_apart(path), sop_instance=f"1.2.3.{number}")
        for number, path in enumerate(one_of_each_syntax().values())
    ]
    first, large = synthetic(1, 300_000), enhanced_ct(2, LARGE)
    sent = [*small, first, large]
    assert running.store("BUCKET", *sent) == [0] * len(sent)
    stored = {content.sop_instance: content for content in objects_in(server, "some/prefix")}
    assert stored == {content.sop_instance: content for content in sent}
    others = [replace(content, data=content.data[:-2] + b"\1\2") for content in (first, large)]
    assert running.store("BUCKET", first, large, *others) == [0, 0, Status.DUPLICATE, Status.DUPLICATE]
    assert running.store("VERSIONS", first, large, *others, *others, first, large) == [0] * 8
    assert {c.data for c in objects_in(server, "versions")} == {c.data for c in (first, large, *others)}
    assert len(objects_in(server, "versions")) == 4
    with running.open("BUCKET", first) as client:
        assert client.echo(context_id=3) == 0
        client.release()


def test_wrong_credentials_and_a_missing_bucket(running: Stores) -> None:
    content = synthetic(1, 100_000)
    assert "access-denied: SignatureDoesNotMatch" in refused(running, content, "STRANGER")
    assert "missing: NoSuchBucket" in refused(running, content, "NOWHERE")
    for called in ("STRANGER", "NOWHERE"):
        with running.open(called, content) as client:
            assert client.echo(context_id=3) == 0x0110
            client.release()


def test_a_server_that_is_killed_and_comes_back(running: Stores, server: S3Server) -> None:
    content = enhanced_ct(1, LARGE, study=10)
    with running.open("BUCKET", content) as client:
        whole = [pdu(4, value) for value in fragments(message_of(content), [16378])]
        client.send(b"".join(whole[: len(whole) * 2 // 3]))
        wait_until(lambda: bool(server.uploads()), "it has begun")
        server.kill()
        client.send(b"".join(whole[len(whole) * 2 // 3 :]))
        assert client.receive_message().status == Status.OUT_OF_RESOURCES
        small = synthetic(2, 100_000, study=10)
        assert running.store("BUCKET", small) == [Status.OUT_OF_RESOURCES]
        assert (
            "objects for BUCKET are refused: s3://cohort/some/prefix: unreachable"
            in running.mesh.log.read_text()
        )
        assert running.store("LATER", small) == [0], "a durable route takes it all the same"
        server.start()
        client.release()
    assert running.store("BUCKET", content) == [0]
    wait_until(
        lambda: objects_in(server, "some/prefix", study=10) == [content, small], "both are there", timeout=60
    )


def test_a_server_that_hangs(running: Stores, server: S3Server) -> None:
    content = synthetic(1, 100_000, study=11)
    server.send_signal(signal.SIGSTOP)
    assert "timed-out" in refused(running, content, "BUCKET")
    server.send_signal(signal.SIGCONT)
    assert running.store("BUCKET", content) == [0]
    assert objects_in(server, "some/prefix", study=11) == [content]


def test_a_server_whose_disk_is_full(tmp_path: Path) -> None:
    with (
        disk(tmp_path, 24) as small,
        S3Server(small.mounted / "s3", log=tmp_path / "s3.log") as server,
        stores(tmp_path / "mesh", {"BUCKET": server.settings("x", part_size=PART)}) as running,
    ):
        sent = [synthetic(number, 1_500_000) for number in range(20)]
        statuses = running.store("BUCKET", *sent, enhanced_ct(99, LARGE))
        assert set(statuses) == {0, Status.OUT_OF_RESOURCES}
        assert statuses[-1] == Status.OUT_OF_RESOURCES
        acknowledged = [content for content, status in zip(sent, statuses, strict=False) if status == 0]
        assert {c.data for c in objects_in(server, "x")} >= {c.data for c in acknowledged}
        assert "full: InsufficientStorage" in running.mesh.log.read_text()


def test_a_big_object_takes_little_memory(running: Stores, server: S3Server) -> None:
    content = enhanced_ct(1, 200_000_000, study=12)
    assert running.store("BUCKET", content) == [0]
    assert objects_in(server, "some/prefix", study=12) == [content]
    executor = running.mesh.memory(peak=True)["cloud/scu"]
    assert executor < 200 << 20, executor
