"""Objects of durable routes, encrypted for their zones: nothing readable on the disk, nothing lost by new keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dimse_mesh.encryption.keys import write_key
from tests.durable.operator import numbers, queue
from tests.durable.site import ARCHIVE, Inbox, Site, served, site, store
from tests.durable.test_hooks import decoded, named
from tests.support.encryption import KeyChange, encryption_of
from tests.support.files import DicomFile, data_sets, pattern, synthetic
from tests.support.mesh import Ae
from tests.support.ports import reserve_port

SECRETS = (b"MESH^TEST", b"MESH-TEST", pattern(4096, 1)[64:96])
SIZES = (1_000, 60_000, 700_000)


def objects(first: int = 1) -> list[DicomFile]:
    return [synthetic(number, size) for number, size in enumerate(SIZES, start=first)]


def on_disk(where: Site) -> set[bytes]:
    """Return which secrets nats-server's files hold."""
    blocks = [path.read_bytes() for path in (where.mesh.directory / "data").rglob("*.blk")]
    assert sum(map(len, blocks)) > sum(SIZES)
    return {secret for secret in SECRETS for block in blocks if secret in block}


def sections(encryption: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return `site`'s arguments for zones that have keys."""
    return {zone: {"encryption": dict(section)} for zone, section in encryption.items()}


def send(where: Site, contents: list[DicomFile]) -> None:
    with where.open() as client:
        for number, content in enumerate(contents, start=1):
            assert store(client, content, number) == 0
        client.release()


def test_nothing_on_the_disk_can_be_read_and_everything_arrives(tmp_path: Path) -> None:
    """Two destinations that share bytes, a dead letter that is retried, and an export by the source zone."""
    second = Ae("SECOND", reserve_port(), "cloud")
    keys = sections(encryption_of(tmp_path, "hospital", "cloud"))
    inboxes = Inbox(status=0xC000), Inbox()
    sent = objects()
    route = {"to": [{"ae": ARCHIVE}, {"ae": second.title}]}
    with site(tmp_path, route=route, more_aes=[second], **keys) as where:
        send(where, sent)
        assert on_disk(where) == set()
        queue(where, "export", ARCHIVE, str(tmp_path / "exported"))
        exported = data_sets(tmp_path / "exported")
        assert {uid: item.data for uid, item in exported.items()} == {
            item.sop_instance: item.data for item in sent
        }
        with where.destination(inboxes[0]), served(second.port, inboxes[1].script):
            assert [got.data for got in inboxes[1].wait_for(len(sent))] == [item.data for item in sent]
            where.wait_until(lambda: numbers(where)["failed"] == len(sent), "the first one refuses them")
            assert on_disk(where) == set()
            inboxes[0].status = 0
            queue(where, "retry", ARCHIVE)
            again = inboxes[0].wait_for(2 * len(sent))[len(sent) :]
        assert sorted(got.data for got in again) == sorted(item.data for item in sent)


def test_without_encryption_the_disk_holds_all_of_it(tmp_path: Path) -> None:
    """The control."""
    with site(tmp_path) as where:
        send(where, objects())
        assert on_disk(where) == set(SECRETS)


def test_new_keys_lose_nothing_that_waits(tmp_path: Path) -> None:
    """docs/encryption.md, "New keys": objects sealed before, between and after all arrive."""
    encryption = encryption_of(tmp_path, "hospital", "cloud")
    port, inbox = reserve_port(), Inbox()
    batches = [objects(first) for first in (1, 11, 21)]

    def running() -> Any:
        return site(tmp_path, port=port, **sections(encryption))

    with running() as where:
        send(where, batches[0])
    # New keys for both zones: made, told, used.
    texts = {}
    for zone in encryption:
        folder = tmp_path / f"{zone}-keys"
        texts[zone] = write_key(folder / "2.next").public.text
    encryption["cloud"]["zones"]["hospital"] = [
        texts["hospital"],
        encryption["cloud"]["zones"]["hospital"],
    ]
    encryption["hospital"]["zones"]["cloud"] = [texts["cloud"], encryption["hospital"]["zones"]["cloud"]]
    with running() as where:
        send(where, batches[1])
    for zone in encryption:
        (tmp_path / f"{zone}-keys" / "2.next").rename(tmp_path / f"{zone}-keys" / "2.key")
    with running() as where:
        send(where, batches[2])
        assert on_disk(where) == set()
        expected = [item.data for batch in batches for item in batch]
        with where.destination(inbox):
            assert [got.data for got in inbox.wait_for(len(expected))] == expected


def test_new_keys_on_a_running_mesh_lose_nothing_that_waits(tmp_path: Path) -> None:
    """The same without a restart: what is sealed for the old keys opens beside what is sealed for the new ones."""
    change, inbox = KeyChange(tmp_path, "hospital", "cloud"), Inbox()
    batches = [objects(first) for first in (1, 11, 21, 31)]
    extra = objects(101)
    with site(tmp_path, **sections(change.sections)) as where:
        before = where.mesh.pids()
        send(where, batches[0])
        for step, batch in zip((change.make, change.tell, change.use), batches[1:], strict=True):
            step()
            send(where, batch)

        def sealed_with_the_new_key() -> bool:
            send(where, extra[:1])
            batches.append(extra[:1])
            return f"read anew: {change.folder('hospital') / '2.key'}" in where.mesh.log.read_text()

        where.wait_until(sealed_with_the_new_key, "the hospital seals with the new key")
        assert on_disk(where) == set()
        expected = [item.data for batch in batches for item in batch]
        with where.destination(inbox):
            assert [got.data for got in inbox.wait_for(len(expected))] == expected
            # Nothing waits any more: the old keys may go.
            change.forget()
            send(where, extra)
            assert [got.data for got in inbox.wait_for(len(expected) + len(extra))[len(expected) :]] == [
                item.data for item in extra
            ]
        assert where.mesh.pids() == before


def test_what_cannot_be_opened_waits_until_the_key_is_there(tmp_path: Path) -> None:
    encryption = encryption_of(tmp_path, "hospital", "cloud")
    key = tmp_path / "cloud-keys" / "1.key"
    kept, port, inbox = key.read_bytes(), reserve_port(), Inbox()
    key.unlink()
    write_key(tmp_path / "cloud-keys" / "9.key")
    sent = objects()
    with site(tmp_path, port=port, **sections(encryption)) as where, where.destination(inbox):
        send(where, sent)
        where.wait_until(
            lambda: "encryption-key-not-ours" in queue(where, "why"), "the operator is told why nothing moves"
        )
        assert numbers(where)["failed"] == 0
    assert inbox.instances == []
    key.write_bytes(kept)
    with site(tmp_path, port=port, **sections(encryption)) as where, where.destination(inbox):
        assert [got.data for got in inbox.wait_for(len(sent))] == [item.data for item in sent]


@pytest.mark.parametrize("zone", ["hospital", "cloud"])
def test_one_zone_alone_that_encrypts_gets_nothing_through(tmp_path: Path, zone: str) -> None:
    """Sealed objects never reach a destination as they stand; plain ones never one whose zone demands encryption."""
    encryption = encryption_of(tmp_path, "hospital", "cloud")
    inbox = Inbox()
    with site(tmp_path, **sections({zone: encryption[zone]})) as where, where.destination(inbox):
        send(where, objects())
        code = "encryption-missing" if zone == "hospital" else "encryption-required"
        where.wait_until(lambda: code in queue(where, "why"), "the operator is told why nothing moves")
        assert numbers(where)["failed"] == 0
    assert inbox.instances == []


def test_hooks_get_the_data_set_and_what_they_make_is_sealed_again(tmp_path: Path) -> None:
    hook = {"set": {"InstitutionName": "HOSPITAL"}}
    keys = sections(encryption_of(tmp_path, "hospital", "cloud"))
    sent = [named(number, size) for number, size in enumerate(SIZES)]
    inbox = Inbox()
    with site(tmp_path, route={"hooks": [hook]}, **keys) as where:
        send(where, sent)
        where.wait_until(lambda: numbers(where)["waiting"] == len(sent), "all are behind the hooks")
        blocks = [path.read_bytes() for path in (where.mesh.directory / "data").rglob("*.blk")]
        assert not any(b"Doe^John" in block or b"HOSPITAL" in block for block in blocks)
        with where.destination(inbox):
            arrived = inbox.wait_for(len(sent))
    assert [str(decoded(got.data).InstitutionName) for got in arrived] == ["HOSPITAL"] * len(sent)
    assert [str(decoded(got.data).PatientName) for got in arrived] == ["Doe^John"] * len(sent)


def test_redirected_objects_are_sealed_for_their_new_destination(tmp_path: Path) -> None:
    second = Ae("SECOND", reserve_port(), "cloud")
    keys = sections(encryption_of(tmp_path, "hospital", "cloud"))
    other = {"called": "OTHER", "to": {"ae": second.title}, "delivery": "durable"}
    inbox, sent = Inbox(), objects()
    with site(tmp_path, more_aes=[second], more_routes=[other], **keys) as where:
        send(where, sent)
        waiting = [json.loads(line) for line in queue(where, "show", ARCHIVE, "--json").splitlines()]
        assert len(waiting) == len(sent)
        queue(where, "redirect", ARCHIVE, second.title, "--waiting")
        with served(second.port, inbox.script):
            assert [got.data for got in inbox.wait_for(len(sent))] == [item.data for item in sent]
