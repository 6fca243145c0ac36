"""Events of a durable route: kept on disk, and told whoever dies."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.durable.site import ARCHIVE, Inbox, Site, served, site, store
from tests.events.listening import Heard, listening, program
from tests.support.files import UID_ROOT, synthetic
from tests.support.mesh import Ae
from tests.support.ports import reserve_port
from tests.support.process import Child

QUIET = 2.0
EVENTS = {"events": {"enabled": True, "study_quiet": QUIET}}


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("events"), hospital=EVENTS, cloud=EVENTS) as running:
        yield running


class Reader:
    """The page's program that reads the stream, which may be stopped and started again."""

    def __init__(self, directory: Path, where: Site, name: str) -> None:
        nats = where.mesh.nats("hospital")
        assert nats.nkey_seed is not None
        seed = nats.nkey_seed / "events.nk"
        self._command = [
            sys.executable,
            str(program(directory, 1)),
            nats.servers[0],
            str(seed),
            "hospital",
            str(directory / f"{name}.position"),
        ]
        self._log = directory / f"{name}.log"

    def start(self) -> Child:
        """Start it; it goes on where it was."""
        child = Child(self._command, log=self._log)
        child.wait_for_line("^listening$")
        return child


def send(where: Site, study: int, numbers: range) -> None:
    """Store objects of a study as a modality."""
    with where.open() as client:
        for number in numbers:
            assert store(client, synthetic(number, 1000, study=study), number) == 0
        client.release()


def test_the_life_of_an_object(where: Site, tmp_path: Path) -> None:
    inbox = Inbox()
    with (
        listening(tmp_path, where.mesh.nats("hospital"), "DIMSE.event.hospital.>") as hospital,
        listening(tmp_path, where.mesh.nats("cloud"), "DIMSE.event.cloud.>") as cloud,
    ):
        send(where, 21, range(1, 4))
        study = f"{UID_ROOT}.21"
        accepted = hospital.wait_for(3, "object_accepted", study=study)
        assert [event["sop_instance"] for event in accepted] == [
            f"{study}.1.{number}" for number in (1, 2, 3)
        ]
        assert accepted[0]["destinations"] == [ARCHIVE]
        assert (accepted[0]["calling_ae"], accepted[0]["called_ae"]) == ("CT1", ARCHIVE)
        (opened,) = hospital.wait_for(1, "association_opened", association=accepted[0]["association"])
        assert opened["delivery"] == "durable"
        (quiet,) = hospital.wait_for(1, "study_quiet", study=study)
        assert (quiet["after"], quiet["ae"], quiet["objects"]) == ("object_accepted", ARCHIVE, 3)
        assert quiet["at"] - quiet["last"] >= QUIET - 0.1
        with where.destination(inbox):
            inbox.wait_for(3)
            delivered = hospital.wait_for(3, "object_delivered", study=study)
            stored = cloud.wait_for(3, "object_stored", study=study)
            (arrived,) = cloud.wait_for(1, "study_quiet", study=study)
    assert {event["cause"] for event in delivered} == {"delivered"}
    assert {event["destination"] for event in delivered} == {ARCHIVE}
    assert {(event["ae"], event["from_zone"], event["delivery"]) for event in stored} == {
        (ARCHIVE, "hospital", "durable")
    }
    assert (arrived["after"], arrived["ae"], arrived["objects"]) == ("object_stored", ARCHIVE, 3)


def test_a_dead_letter(where: Site, tmp_path: Path) -> None:
    inbox = Inbox(status=0x0122)
    with (
        listening(tmp_path, where.mesh.nats("hospital"), "DIMSE.event.hospital.object_failed.>") as heard,
        where.destination(inbox),
    ):
        send(where, 22, range(1, 2))
        (event,) = heard.wait_for(1, study=f"{UID_ROOT}.22")
    assert (event["destination"], event["cause"]) == (ARCHIVE, "sop-class-not-supported")


def test_a_reader_of_the_stream_hears_what_it_has_missed(where: Site, tmp_path: Path) -> None:
    """It is stopped at any moment, perhaps before it has noted how far it is: then it gets one event again."""
    reader, study = Reader(tmp_path, where, "reader"), f"{UID_ROOT}.23"
    child = reader.start()
    send(where, 23, range(1, 3))
    Heard(child).wait_for(2, "object_accepted", study=study)
    child.stop()
    before = Heard(child).all("object_accepted", study=study)
    send(where, 23, range(3, 6))
    child = reader.start()
    Heard(child).wait_for(3, "object_accepted", study=study)
    child.stop()
    heard = {event["id"]: event for event in [*before, *Heard(child).all("object_accepted", study=study)]}
    instances = [event["sop_instance"] for event in heard.values()]
    assert instances == [f"{study}.1.{number}" for number in range(1, 6)]


def test_the_stream_has_a_word_for_each_destination(tmp_path: Path) -> None:
    """Numbered alike in both spools: nats-server doesn't take two events for one that was sent twice."""
    second = Ae("SECOND", reserve_port(), "cloud")
    route = {"to": [{"ae": ARCHIVE}, {"ae": second.title}]}
    with (
        site(tmp_path, route=route, more_aes=[second], hospital=EVENTS) as fan_out,
        fan_out.destination(Inbox()),
        served(second.port, Inbox().script),
    ):
        send(fan_out, 24, range(1, 4))
        child = Reader(tmp_path, fan_out, "fan-out").start()
        told = Heard(child).wait_for(6, "object_delivered")
        child.stop()
    assert sorted((event["sop_instance"][-1], event["destination"]) for event in told) == [
        (number, destination) for number in "123" for destination in (ARCHIVE, "SECOND")
    ]


@pytest.mark.parametrize("killed", ["hospital/store", "nats-server", "hospital/association"])
def test_a_quiet_study_is_told_whoever_dies(where: Site, tmp_path: Path, killed: str) -> None:
    """Each object that was acknowledged has its event, and the study one word, though the teller died meanwhile."""
    number = 30 + ["hospital/store", "nats-server", "hospital/association"].index(killed)
    study = f"{UID_ROOT}.{number}"
    send(where, number, range(1, 6))
    where.kill(killed)
    child = Reader(tmp_path, where, "after").start()
    try:
        heard = Heard(child)
        (quiet,) = heard.wait_for(1, "study_quiet", study=study)
        accepted = heard.all("object_accepted", study=study)
    finally:
        child.stop()
    assert quiet["objects"] == 5
    assert {event["sop_instance"] for event in accepted} == {f"{study}.1.{n}" for n in range(1, 6)}
    assert len(heard.all("study_quiet", study=study)) == 1
