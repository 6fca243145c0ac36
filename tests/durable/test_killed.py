"""Whoever is killed, and whatever link is cut: what was acknowledged arrives, identical and in order."""

from __future__ import annotations

import os
import random
import threading
from functools import partial
from pathlib import Path

import pytest

from tests.durable.modality import Modality, check, has_all
from tests.durable.site import ARCHIVE, CONTEXTS, Inbox, site
from tests.fault.relay import Relay
from tests.support.scripted import Client, Server

VICTIMS = ("hospital/association", "cloud/delivery", "cloud/scu", "nats-server", "hospital/store")
TARGET, TARGET_LINK, CLIENT_LINK = "the target", "the link to the target", "the link of the clients"
FAULTS = (*VICTIMS, TARGET, TARGET_LINK, CLIENT_LINK)
DOWN = 0.3
"""Seconds that a link stays cut."""


class Archive:
    """A destination that can be killed. What it has answered it keeps."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._server = Server(inbox.script)
        self.port = self._server.port

    def kill(self) -> None:
        """Break its associations, in the middle of whatever comes, and start it again."""
        self._server.stop(check=False)
        self._server = Server(self._inbox.script, port=self.port)

    def stop(self) -> None:
        """End it."""
        self._server.stop(check=False)


class Entry:
    """The hospital's listener, behind a link."""

    def __init__(self, link: Relay) -> None:
        self._link = link

    def open(self, *, calling: str) -> Client:
        """Associate as a modality."""
        return Client.open(self._link.port, called=ARCHIVE, calling=calling, contexts=CONTEXTS, timeout=60)


def cut(link: Relay) -> None:
    """Break the connections of a link in the middle of what they carry, and let new ones in a little later."""
    link.cut()
    threading.Event().wait(DOWN)
    link.heal()


def kills(directory: Path, count: int) -> str:
    """Kill somebody, or cut a link, so often while two modalities store; return what to print."""
    chance = random.Random(7)
    inbox = Inbox()
    archive = Archive(inbox)
    try:
        with (
            Relay(archive.port) as target_link,
            site(directory, port=target_link.port) as where,
            Relay(where.entry) as client_link,
        ):
            entry = Entry(client_link)
            with Modality(entry, "CT1", 1) as first, Modality(entry, "MR1", 2) as second:
                modalities = (first, second)
                for fault in [*FAULTS, *chance.choices(FAULTS, k=count - len(FAULTS))]:
                    seen = [len(modality.acknowledged) for modality in modalities]
                    if fault == TARGET:
                        archive.kill()
                    elif fault == TARGET_LINK:
                        cut(target_link)
                    elif fault == CLIENT_LINK:
                        cut(client_link)
                    else:
                        where.kill(fault)
                    for modality, before in zip(modalities, seen, strict=True):
                        where.wait_until(
                            partial(modality.has_more_than, before), f"{modality.calling} stores again"
                        )
            for modality in modalities:
                where.wait_until(partial(has_all, inbox, modality), "everything acknowledged arrives")
            again = sum(check(inbox, modality) for modality in modalities)
    finally:
        archive.stop()
    stored = sum(len(modality.acknowledged) for modality in modalities)
    return (
        f"{count} faults, {stored} objects acknowledged, 0 lost, 0 damaged, in order, {again} delivered twice"
    )


def test_kills_of_every_service_of_nats_server_and_of_the_target_and_cut_links(tmp_path: Path) -> None:
    kills(tmp_path, len(FAULTS))


@pytest.mark.soak
def test_soak_of_kills(tmp_path: Path) -> None:
    print(kills(tmp_path, int(os.environ.get("SOAK_KILLS", "200"))))
