"""A destination that takes several associations at once: several studies go at a time, each of them in order."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.durable.operator import numbers
from tests.durable.site import PATIENCE, Inbox, Site, site, store
from tests.support.files import DicomFile, synthetic
from tests.support.scripted import ServerPeer
from tests.support.wire import Command, Message, response

STUDIES, IMAGES = 12, 4
ASSOCIATIONS = 3


def studies() -> list[list[DicomFile]]:
    """Make the objects of each study."""
    return [[synthetic(number, 2_000, study=study) for number in range(IMAGES)] for study in range(STUDIES)]


def put(where: Site) -> list[list[str]]:
    """Store one image of each study after the other; return the SOP instance UIDs of each study."""
    contents = studies()
    with where.open() as client:
        for images in zip(*contents, strict=True):
            for image in images:
                assert store(client, image) == 0
        client.release()
    return [[image.sop_instance for image in study] for study in contents]


@dataclass(slots=True)
class Busy:
    """A destination that answers nothing until it has been asked on so many associations."""

    at_once: int
    inbox: Inbox = field(default_factory=Inbox)
    most: int = 0
    """Associations that were open at once."""
    _asked: set[int] = field(default_factory=set)
    _open: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def script(self, peer: ServerPeer) -> None:
        """Serve one association."""
        association = peer.accept_association()
        with self._changed:
            self._open += 1
            self.most = max(self.most, self._open)

        def answer(message: Message) -> Iterator[Message]:
            if message.field == Command.C_STORE:
                with self._changed:
                    self._asked.add(id(peer))
                    self._changed.notify_all()
                    assert self._changed.wait_for(lambda: len(self._asked) >= self.at_once, PATIENCE)
            yield response(message)
            if message.field == Command.C_STORE:
                self.inbox.keep(message, association.called, association.calling)

        try:
            peer.serve(answer)
        finally:
            with self._changed:
                self._open -= 1


def order_of(arrived: list[str], stored: list[list[str]]) -> list[list[str]]:
    """Return what has arrived of each study, in its order; of what came twice the first."""
    study_of = {uid: number for number, study in enumerate(stored) for uid in study}
    found: defaultdict[int, list[str]] = defaultdict(list)
    for uid in dict.fromkeys(arrived):
        found[study_of[uid]].append(uid)
    return [found[number] for number in range(len(stored))]


def several(directory: Path, *, slots: int = 0) -> AbstractContextManager[Site]:
    """Start a mesh that delivers on several associations; `slots`: those of the destination, 0: many."""
    quick = {"retry": {"first": 0.2, "longest": 1.0}, "look_interval": 0.5}
    return site(
        directory,
        remote={"max_associations": slots},
        cloud={"delivery": {**quick, "max_associations": ASSOCIATIONS}},
    )


def test_studies_go_side_by_side_and_each_in_its_order(tmp_path: Path) -> None:
    with several(tmp_path) as where:
        stored = put(where)
        busy = Busy(ASSOCIATIONS)
        with where.destination_of(busy.script):
            busy.inbox.wait_for(STUDIES * IMAGES)
            where.wait_until(lambda: numbers(where)["waiting"] == 0, "everything is removed")
        assert busy.most == ASSOCIATIONS
        assert len(busy.inbox.instances) == STUDIES * IMAGES
        assert order_of(busy.inbox.instances, stored) == stored
        # What comes later finds every association idle, and goes all the same.
        inbox = Inbox()
        with where.destination(inbox):
            put(where)
            inbox.wait_for(STUDIES * IMAGES)
        assert order_of(inbox.instances, stored) == stored


@pytest.mark.parametrize("victim", ["cloud/delivery", "nats-server"])
def test_a_killed_process_costs_no_object_and_no_order(tmp_path: Path, victim: str) -> None:
    with several(tmp_path) as where:
        stored = put(where)
        busy = Busy(ASSOCIATIONS)
        with where.destination_of(busy.script):
            busy.inbox.wait_for(STUDIES)
            where.kill(victim)
            where.wait_until(lambda: numbers(where)["waiting"] == 0, "everything is removed")
        assert order_of(busy.inbox.instances, stored) == stored


def test_a_destination_gets_no_more_than_it_takes(tmp_path: Path) -> None:
    with several(tmp_path, slots=2) as where:
        stored = put(where)
        busy = Busy(2)
        with where.destination_of(busy.script):
            busy.inbox.wait_for(STUDIES * IMAGES)
        assert busy.most == 2
        assert order_of(busy.inbox.instances, stored) == stored
