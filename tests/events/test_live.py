"""Events of live routes, heard by the program of docs/events.md under the shipped permissions."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.durable.site import CONTEXTS, STORE, Inbox, served, store
from tests.events.listening import Heard, listening
from tests.support.files import UID_ROOT, synthetic
from tests.support.mesh import Ae, Mesh, two_zones
from tests.support.ports import reserve_port
from tests.support.process import wait_until
from tests.support.scripted import Client, Rejected
from tests.support.wire import store_rq

ARCHIVE = "ARCHIVE"
EVENTS = {"events": {"enabled": True}}
LARGE = 300_000
"""Bytes of an object that travels in several pieces."""


class Scene:
    """Two zones that publish events, and who listens in each of them."""

    def __init__(self, mesh: Mesh, port: int, hospital: Heard, cloud: Heard) -> None:
        self.mesh = mesh
        self.port = port
        self.hospital = hospital
        self.cloud = cloud

    def open(self, called: str = ARCHIVE, calling: str = "CT1") -> Client:
        """Associate as a modality of the hospital."""
        return Client.open(
            self.mesh.listeners["hospital"], called=called, calling=calling, contexts=CONTEXTS, timeout=60
        )

    def until_the_hospital_is_heard(self) -> None:
        """Associate until the hospital's listener hears of it; a target has to be there."""

        def heard() -> bool:
            self.open(calling="AGAIN").release()
            return bool(self.hospital.all("association_ended", calling_ae="AGAIN"))

        wait_until(heard, "the hospital's listener has connected again", timeout=60)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("events")
    port = reserve_port()
    with (
        two_zones(
            directory,
            target=Ae(ARCHIVE, port, "cloud"),
            more={"hospital": EVENTS, "cloud": EVENTS},
        ) as mesh,
        # Each asks for the events of all zones that it may hear; a zone's key is for its own.
        listening(directory, mesh.nats("hospital"), "DIMSE.event.hospital.>") as hospital,
        listening(directory, mesh.nats("cloud"), "DIMSE.event.cloud.>") as cloud,
    ):
        yield Scene(mesh, port, hospital, cloud)


def test_an_association_and_its_objects(scene: Scene) -> None:
    inbox = Inbox()
    with served(scene.port, inbox.script):
        with scene.open() as client:
            for number, size in enumerate((1000, LARGE), 1):
                assert store(client, synthetic(number, size, study=7), number) == 0
            client.release()
        opened = scene.hospital.wait_for(1, "association_opened")[-1]
        ended = scene.hospital.wait_for(1, "association_ended", association=opened["association"])[-1]
        stored = scene.cloud.wait_for(2, "object_stored", association=opened["association"])
    assert (opened["calling_ae"], opened["called_ae"], opened["delivery"]) == ("CT1", ARCHIVE, "live")
    assert ended["code"] == "released"
    assert 0 <= ended["seconds"] < 60
    assert [event["sop_instance"] for event in stored] == [f"{UID_ROOT}.7.1.{number}" for number in (1, 2)]
    for event in stored:
        assert event["study"] == f"{UID_ROOT}.7"
        assert (event["ae"], event["from_zone"], event["status"]) == (ARCHIVE, "hospital", 0)
        assert event["sop_class"] == synthetic(1, 1).sop_class
        assert opened["at"] <= event["at"] <= ended["at"] + 1
    assert len({event["id"] for event in (opened, ended, *stored)}) == 4


def test_an_object_with_a_warning_is_stored_and_one_with_a_failure_is_not(scene: Scene) -> None:
    for study, status in ((8, 0xB000), (9, 0xA700), (10, 0)):
        inbox = Inbox(status=status)
        with served(scene.port, inbox.script), scene.open() as client:
            assert store(client, synthetic(1, 1000, study=study)) == status
            client.release()
    scene.cloud.wait_for(1, "object_stored", study=f"{UID_ROOT}.10")
    assert [event["status"] for event in scene.cloud.all("object_stored", study=f"{UID_ROOT}.8")] == [0xB000]
    assert not scene.cloud.all("object_stored", study=f"{UID_ROOT}.9")


def test_a_rejection(scene: Scene) -> None:
    with pytest.raises(Rejected):
        scene.open("NOBODY")
    (event,) = scene.hospital.wait_for(1, "association_rejected", called_ae="NOBODY")
    assert (event["calling_ae"], event["result"], event["source"], event["reason"]) == ("CT1", 1, 1, 7)
    assert not scene.hospital.all("association_opened", called_ae="NOBODY")


def test_what_is_no_uid_is_not_told(scene: Scene) -> None:
    """A peer may write a name where a UID belongs, and an event must not carry it away."""
    inbox = Inbox()
    content = synthetic(1, 1000, study=11)
    data = content.data.replace(f"{UID_ROOT}.11\0".encode(), b"Doe^John".ljust(len(UID_ROOT) + 4, b"x"))
    assert data != content.data
    with served(scene.port, inbox.script), scene.open() as client:
        assert client.exchange(store_rq(1, "Doe^Jane", data, context_id=STORE)).status == 0
        client.release()
    (event,) = scene.cloud.wait_for(1, "object_stored", sop_instance="")
    assert event["study"] == ""
    assert not any("Doe" in str(event) for event in scene.cloud.all())


def test_a_zone_hears_nothing_of_another_one(scene: Scene) -> None:
    assert not any(event["kind"].startswith("association") for event in scene.cloud.all())
    assert not scene.hospital.all("object_stored")


def test_events_go_on_in_order_when_a_killed_nats_server_is_back(scene: Scene) -> None:
    """What the listener misses until it has connected again it misses; `max_waiting` is the services' own patience.

    The two listeners connect again each in its own time; here the hospital's comes last.
    """
    inbox = Inbox()

    def heard() -> list[int]:
        events = scene.cloud.all("object_stored", study=f"{UID_ROOT}.12")
        return [int(event["sop_instance"].rpartition(".")[2]) for event in events]

    with served(scene.port, inbox.script), scene.open() as client:
        for number in range(1, 5):
            assert store(client, synthetic(number, LARGE, study=12), number) == 0
        scene.cloud.wait_for(4, "object_stored", study=f"{UID_ROOT}.12")
        with scene.hospital.held_up():
            kill(scene.mesh, "nats-server")
            for number in range(5, 1000):
                assert store(client, synthetic(number, LARGE, study=12), number) == 0
                if len(heard()) > 4:
                    break
        client.release()
        scene.until_the_hospital_is_heard()
    assert heard() == sorted(set(heard()))
    assert heard()[:4] == [1, 2, 3, 4]
    assert len(heard()) > 4


def test_a_killed_executor_tells_what_it_had_seen(scene: Scene) -> None:
    inbox = Inbox()
    with served(scene.port, inbox.script), scene.open() as client:
        assert store(client, synthetic(1, 1000, study=13)) == 0
        kill(scene.mesh, "cloud/scu")
        (event,) = scene.cloud.wait_for(1, "object_stored", study=f"{UID_ROOT}.13")
        ended = scene.hospital.wait_for(1, "association_ended", association=event["association"])[0]
    assert ended["code"] != "released"


def kill(mesh: Mesh, name: str) -> None:
    """Kill a process of the mesh, and wait for the next one."""
    before = mesh.pids()[name]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: mesh.pids().get(name, before) != before, f"{name} is started again", timeout=60)
