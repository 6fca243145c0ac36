"""New keys on a running mesh: no service is restarted, no association is refused, and those that stand go on."""

from __future__ import annotations

from pathlib import Path

from dimse_mesh.encryption.keys import write_key
from tests.durable.site import CONTEXTS, Inbox, served, store
from tests.interop.encryption.conftest import Tapped, tapped
from tests.support.encryption import KeyChange
from tests.support.files import synthetic
from tests.support.process import wait_until
from tests.support.scripted import Client, Rejected

ENDPOINTS = 2
"""Processes of a zone that have its keys: front-end and executor."""


def opened(way: Tapped, zone: str) -> Client:
    called = "ARCHIVE" if zone == "hospital" else "VIEWER"
    return Client.open(way.entry(zone), called=called, calling="CT1", contexts=CONTEXTS, timeout=60)


def stored(client: Client, number: int) -> None:
    for size in (1_000, 300_000):  # with its command, and in pieces
        assert store(client, synthetic(number, size), 2 * number) == 0


def rejected(way: Tapped, zone: str) -> bool:
    try:
        opened(way, zone).release()
    except Rejected:
        return True
    return False


def test_keys_are_replaced_while_associations_go_on(tmp_path: Path) -> None:
    """docs/encryption.md, "New keys"."""
    change, inbox = KeyChange(tmp_path, "hospital", "cloud"), Inbox()
    zones = tuple(change.sections)

    def read_anew(zone: str) -> bool:
        """Whether each endpoint of a zone seals with the new key; who isn't asked for anything doesn't look."""
        for each in zones:
            opened(way, each).release()
        words = f"read anew: {change.folder(zone) / '2.key'}"
        return way.mesh.log.read_text().count(words) >= ENDPOINTS

    with tapped(tmp_path, encryption=change.sections) as way:
        before = way.mesh.pids()
        archive, viewer = way.mesh.aes["ARCHIVE"], way.mesh.aes["VIEWER"]
        with (
            served(archive.port, inbox.script),
            served(viewer.port, inbox.script),
            opened(way, "hospital") as there,
            opened(way, "cloud") as back,
        ):
            for number, step in enumerate((change.make, change.tell, change.use), start=1):
                step()
                for standing in (there, back):
                    stored(standing, number)
                for zone in zones:
                    with opened(way, zone) as fresh:
                        stored(fresh, 10 * number)
                        fresh.release()
            for zone in zones:
                wait_until(lambda zone=zone: read_anew(zone), f"{zone} has read its keys", timeout=60)  # type: ignore[misc]
            change.forget()
            for zone in zones:
                with opened(way, zone) as fresh:
                    stored(fresh, 50)
                    fresh.release()
            for standing in (there, back):
                stored(standing, 60)
                standing.release()

            # A key that the other zone doesn't know, without a restart either.
            write_key(change.folder("hospital") / "9.key")
            wait_until(lambda: rejected(way, "hospital"), "the hospital seals with it", timeout=60)
            (change.folder("hospital") / "9.key").unlink()
            wait_until(lambda: not rejected(way, "hospital"), "the hospital seals as before", timeout=60)
        assert way.mesh.pids() == before
        assert way.seen() == set()
        assert not any(word in way.mesh.log.read_text() for word in ("used on", "Traceback"))
