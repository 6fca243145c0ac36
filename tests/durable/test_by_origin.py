"""Results go back to the hospital that a study came from, whichever of two hospitals that is, over any restart."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]  # made at import time

from tests.durable.requestor import Report, Reports, ask
from tests.durable.site import CONTEXTS, Inbox, message_of, served
from tests.support.files import DicomFile, synthetic
from tests.support.mesh import Mesh, zone_config
from tests.support.ports import reserve_port
from tests.support.process import wait_until
from tests.support.pynet import entity, scu
from tests.support.scripted import Client
from tests.support.wire import CT_STORAGE

AI, PACS_A, PACS_B, OTHER = "AI", "PACS_A", "PACS_B", "OTHER"
RESULT = 500
"""First number of the instances that are results."""


class Hospitals:
    """Two hospitals that send studies to an AI node of the cloud, and what each AE has got."""

    def __init__(self, directory: Path) -> None:
        self.inboxes = {title: Inbox() for title in (AI, PACS_A, PACS_B, OTHER)}
        ports = {title: reserve_port() for title in self.inboxes}
        self.entries = {zone: reserve_port() for zone in ("hospital-a", "hospital-b", "cloud")}
        self._stack = ExitStack()
        for title, inbox in self.inboxes.items():
            self._stack.enter_context(served(ports[title], inbox.script))
        to_ai: list[dict[str, Any]] = [
            {"called": AI, "to": {"ae": AI}, "delivery": "durable"},
            {"called": "AI-LIVE", "to": {"ae": AI}},
        ]
        back: dict[str, Any] = {
            "calling": AI,
            "to": {"ae": OTHER},
            "by_origin": {"hospital-a": {"ae": PACS_A}, "hospital-b": {"ae": PACS_B}},
            "delivery": "durable",
        }
        quick = {"delivery": {"look_interval": 0.2, "retry": {"first": 0.2, "longest": 1.0}}}
        zones: Sequence[tuple[str, list[str], list[dict[str, Any]]]] = (
            ("hospital-a", [PACS_A], to_ai),
            ("hospital-b", [PACS_B], to_ai),
            ("cloud", [AI, OTHER], [back]),
        )
        configs = [
            zone_config(
                zone,
                listener=self.entries[zone],
                remote_aes=[{"ae_title": ae, "host": "127.0.0.1", "port": ports[ae]} for ae in titles],
                routes=routes,
                more={**quick, "spool": {"max_bytes": 1 << 28}},
            )
            for zone, titles, routes in zones
        ]
        self.mesh = self._stack.enter_context(Mesh.start(directory, configs))

    def close(self) -> None:
        """Stop everything."""
        self._stack.close()

    def store(self, zone: str, *contents: DicomFile, called: str, calling: str) -> None:
        """Store objects at a zone's front-end."""
        with Client.open(
            self.entries[zone], called=called, calling=calling, contexts=CONTEXTS, timeout=60
        ) as client:
            for content in contents:
                assert client.exchange(message_of(content)).status == 0
            client.release()

    def send_study(self, zone: str, study: int) -> None:
        """Have a hospital send a study to the AI node, and wait until it has it."""
        expected = len(self.inboxes[AI].instances) + 1
        self.store(zone, synthetic(expected, 20_000, study=study), called=AI, calling="CT1")
        self.inboxes[AI].wait_for(expected)

    def send_live(self, zone: str, study: int) -> None:
        """Have a hospital send a study to the AI node with no durable route between."""
        expected = len(self.inboxes[AI].instances) + 1
        self.store(zone, synthetic(expected, 20_000, study=study), called="AI-LIVE", calling="CT1")
        self.inboxes[AI].wait_for(expected)

    def send_result(self, study: int, *, size: int = 5000) -> str:
        """Have the AI node store a result; return its SOP Instance UID."""
        content = synthetic(RESULT + study, size, study=study)
        self.store("cloud", content, called="RESULTS", calling=AI)
        return content.sop_instance

    def kill(self, name: str) -> None:
        """Kill a process, and wait for the next one."""
        before = self.mesh.pids()[name]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: self.mesh.pids().get(name, before) != before, f"{name} again", timeout=60)


@pytest.fixture
def hospitals(tmp_path: Path) -> Iterator[Hospitals]:
    running = Hospitals(tmp_path / "mesh")
    yield running
    running.close()


def test_results_go_where_their_study_came_from(hospitals: Hospitals) -> None:
    hospitals.send_study("hospital-a", 1)
    hospitals.send_study("hospital-b", 2)
    hospitals.send_study("hospital-a", 3)
    hospitals.send_study("hospital-b", 3)  # the same study, or another one with the same UID
    hospitals.kill("cloud/delivery")
    hospitals.kill("nats-server")
    results = {
        study: hospitals.send_result(study, size=3_000_000 if study == 1 else 5000) for study in (1, 2, 3, 4)
    }

    assert [hospitals.inboxes[PACS_A].wait_for(1)[0].instance] == [results[1]]
    (arrived,) = hospitals.inboxes[PACS_B].wait_for(1)
    assert arrived.instance == results[2]
    assert (arrived.called, arrived.calling) == (PACS_B, AI)
    # Of the third it can't be told whose it is, and nobody has sent the fourth.
    elsewhere = hospitals.inboxes[OTHER].wait_for(2)
    assert {each.instance for each in elsewhere} == {results[3], results[4]}
    assert len(hospitals.inboxes[PACS_A].instances) == len(hospitals.inboxes[PACS_B].instances) == 1
    log = hospitals.mesh.log.read_text()
    assert "its study came from several zones: hospital-a, hospital-b" in log
    assert "nobody knows its study" in log
    assert "Violation" not in log


def test_results_are_committed_when_the_pacs_has_them(hospitals: Hospitals) -> None:
    hospitals.send_study("hospital-a", 7)
    result, reports = hospitals.send_result(7), Reports()
    node = entity(AI)
    node.add_requested_context(StorageCommitmentPushModel)
    with scu(node, hospitals.entries["cloud"], called="RESULTS", handlers=reports.handlers) as association:  # type: ignore[arg-type]
        status, transaction = ask(association, [(CT_STORAGE, result)])
        assert status.Status == 0
        report = reports.wait_for()
    assert report == Report(1, transaction, [result], {}, "")
    assert hospitals.inboxes[PACS_A].instances == [result]


def test_a_study_that_came_live_is_remembered_too(hospitals: Hospitals) -> None:
    hospitals.send_live("hospital-a", 5)
    hospitals.send_live("hospital-b", 6)
    results = [hospitals.send_result(study) for study in (5, 6)]
    assert [hospitals.inboxes[PACS_A].wait_for(1)[0].instance] == results[:1]
    assert [hospitals.inboxes[PACS_B].wait_for(1)[0].instance] == results[1:]
    assert not hospitals.inboxes[OTHER].instances
    assert "Violation" not in hospitals.mesh.log.read_text()
