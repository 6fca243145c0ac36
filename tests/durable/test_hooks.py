"""Hooks of a durable route: what the destination gets is what they made of the object, and never the original."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from tests.durable.operator import dead_letters, numbers, queue
from tests.durable.site import ARCHIVE, Inbox, Site, site, store
from tests.support.files import DicomFile, synthetic

BEFORE = f"hooks:{ARCHIVE}"
ENVIRONMENT = {"PYTHONPATH": os.getcwd()}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    made = tmp_path / "key"
    made.write_bytes(bytes(range(32)))
    made.chmod(0o600)
    return made


@contextmanager
def hooked(directory: Path, *hooks: dict[str, Any], **more: Any) -> Iterator[Site]:
    """Start a site whose route has hooks."""
    with site(directory, route={"hooks": list(hooks)}, env=ENVIRONMENT, **more) as where:
        yield where


def kept(where: Site, kind: str) -> bytes:
    """Return what nats-server has on disk for the spool of a kind."""
    blocks = (where.mesh.directory / "data").rglob(f"*~{kind}~{ARCHIVE}/msgs/*.blk")
    return b"".join(block.read_bytes() for block in blocks)


def decoded(data: bytes) -> Dataset:
    """Return a data set of Explicit VR Little Endian."""
    return read_dataset(BytesIO(data), False, True)


def with_(content: DicomFile, **values: Any) -> DicomFile:
    """Return an object with other values."""
    dataset = decoded(content.data)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    target = DicomBytesIO()
    target.is_implicit_VR, target.is_little_endian = False, True
    write_dataset(target, dataset)
    return DicomFile(content.sop_class, content.sop_instance, content.transfer_syntax, target.getvalue())


def named(number: int, size: int = 2_000, **values: Any) -> DicomFile:
    """Return an object with a patient's name."""
    return with_(synthetic(number, size), PatientName="Doe^John", PatientID="42", **values)


def test_deidentified_objects_in_order_with_one_study(tmp_path: Path, key: Path) -> None:
    sent = [named(number, size) for number, size in enumerate((2_000, 300_000, 9_000_000, 2_000))]
    inbox = Inbox()
    with hooked(tmp_path, {"deidentify": {"key_file": str(key)}}) as where, where.destination(inbox):
        with where.open() as client:
            for content in sent:
                assert store(client, content) == 0
            client.release()
        arrived = inbox.wait_for(len(sent))
        where.wait_until(lambda: numbers(where, BEFORE)["waiting"] == 0, "nothing waits before the hooks")
        for spool in (BEFORE, ARCHIVE):
            assert numbers(where, spool)["failed"] == 0
    for before, after in zip(sent, arrived, strict=True):
        assert b"Doe" not in after.data
        was, now = decoded(before.data), decoded(after.data)
        assert now.PixelData == was.PixelData
        assert now.SOPInstanceUID == after.instance != before.sop_instance
        assert now.PatientIdentityRemoved == "YES"
    assert len({decoded(after.data).StudyInstanceUID for after in arrived}) == len(
        {decoded(before.data).StudyInstanceUID for before in sent}
    )


def test_the_spool_of_the_destination_holds_nothing_of_what_hooks_take_away(
    tmp_path: Path, key: Path
) -> None:
    """Its zone reads that, manifests and all; what storage commitment needs to know is not the UID itself."""
    sent = named(1)
    with hooked(tmp_path, {"deidentify": {"key_file": str(key)}}) as where:
        with where.open() as client:
            assert store(client, sent) == 0
            client.release()
        where.wait_until(lambda: numbers(where, ARCHIVE)["waiting"] == 1, "it waits behind the hooks")
        stored = kept(where, "ae")
    assert b"C-STORE" in stored or b"sop_instance" in stored
    for taken in (sent.sop_instance, "Doe"):
        assert taken.encode() not in stored


def test_a_hook_that_fails_makes_dead_letters_and_delivers_nothing(tmp_path: Path, key: Path) -> None:
    inbox = Inbox()
    fails = {"python": "tests.unit.hooks.examples:fails"}
    with hooked(tmp_path, fails, {"deidentify": {"key_file": str(key)}}) as where, where.destination(inbox):
        with where.open() as client:
            for number in range(3):
                assert store(client, named(number)) == 0
        where.wait_until(lambda: numbers(where, BEFORE)["failed"] == 3, "all are dead letters")
        letters = [
            json.loads(line) for line in queue(where, "show", BEFORE, "--failed", "--json").splitlines()
        ]
        assert {letter["cause"] for letter in letters} == {"hook-failed"}
        assert all("ValueError at examples.py" in letter["detail"] for letter in letters)
        assert not any("Doe" in json.dumps(letter) for letter in letters)
        assert inbox.instances == []
        assert dead_letters(where) == []
        port = where.port
    with hooked(tmp_path, {"set": {"PatientName": "Nobody"}}, port=port) as where, where.destination(inbox):
        queue(where, "retry", BEFORE)
        arrived = inbox.wait_for(3)
    assert [decoded(got.data).PatientName for got in arrived] == ["Nobody"] * 3


def test_hooks_that_hang_or_take_all_memory_hold_nobody_up(tmp_path: Path) -> None:
    inbox = Inbox()
    routes = [
        {
            "calling": calling,
            "to": {"ae": ARCHIVE},
            "delivery": "durable",
            "hooks": [{"python": f"tests.unit.hooks.examples:{name}"}],
        }
        for calling, name in (("HANGS", "hangs"), ("TAKES", "takes_all_memory"), ("DIES", "dies"))
    ]
    limits = {"delivery": {"hooks": {"deadline": 5, "memory": 400 << 20}}}
    with (
        hooked(tmp_path, {"set": {"PatientID": "7"}}, more_routes=routes, hospital=limits) as where,
        where.destination(inbox),
    ):
        for number, calling in enumerate(("HANGS", "TAKES", "DIES", "CT1")):
            with where.open(calling=calling) as client:
                assert store(client, named(number)) == 0
                client.release()
        arrived = inbox.wait_for(1)
        assert [got.calling for got in arrived] == ["CT1"]
        where.wait_until(lambda: numbers(where, BEFORE)["failed"] == 3, "the others are dead letters")
        letters = queue(where, "show", BEFORE, "--failed")
    for word in ("longer than 5 s", "delivery.hooks.memory", "SIGSEGV"):
        assert word in letters


def test_objects_survive_kills_between_their_two_spools(tmp_path: Path, key: Path) -> None:
    inbox = Inbox()
    sent = [named(number) for number in range(40)]
    with hooked(tmp_path, {"deidentify": {"key_file": str(key)}}) as where, where.destination(inbox):
        with where.open() as client:
            for number, content in enumerate(sent):
                assert store(client, content) == 0
                if number in {10, 25}:
                    where.kill("hospital/delivery")
            client.release()

        def all_there() -> bool:
            return len(set(inbox.instances)) == len(sent)

        where.wait_until(all_there, "every object arrives")
    by_instance: dict[str, set[bytes]] = {}
    for got in inbox.objects:
        by_instance.setdefault(got.instance, set()).add(got.data)
    assert all(len(different) == 1 for different in by_instance.values()), "what came twice is the same"
    first_times = list(dict.fromkeys(inbox.instances))
    sizes = [len(next(iter(by_instance[instance]))) for instance in first_times]
    assert len(sizes) == len(sent)


def test_a_large_object_passes_by_the_hooks_but_for_its_header(tmp_path: Path, key: Path) -> None:
    content = with_(synthetic(1, 100_000_000, frames=200), PatientName="Doe^John", PatientID="42")
    inbox = Inbox()
    limits = {"delivery": {"hooks": {"memory": 300 << 20, "max_bytes": 1 << 20}}}
    with (
        hooked(tmp_path, {"deidentify": {"key_file": str(key)}}, hospital=limits) as where,
        where.destination(inbox),
    ):
        with where.open() as client:
            assert store(client, content) == 0
            client.release()
        (arrived,) = inbox.wait_for(1, timeout=120)
        peak = where.mesh.memory(peak=True)["hospital/delivery"]
    assert decoded(arrived.data).PixelData == decoded(content.data).PixelData
    assert peak < 150_000_000
