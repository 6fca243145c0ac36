"""The objects of durable routes: who can open them, and that nothing of what a manifest says can be changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dimse_mesh.encryption import EncryptionError
from dimse_mesh.encryption.keys import write_key
from dimse_mesh.encryption.objects import ObjectEncryption
from dimse_mesh.schemas.spool import Manifest
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects
from tests.support.encryption import FolderKeys
from tests.support.spooled import manifest

ZONES = ("hospital", "cloud", "lab")
TO_CLOUD = SpoolSubjects("DIMSE", "hospital", DestinationKind.ZONE, "cloud")
TO_AE = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, "ARCHIVE")
BEFORE_HOOKS = TO_AE.before_hooks
COMMAND = b"C-STORE-RQ"
MANIFEST = manifest(command_length=len(COMMAND))
Encryptions = dict[str, ObjectEncryption]


@pytest.fixture
def zones(tmp_path: Path) -> Encryptions:
    texts = {zone: write_key(tmp_path / zone / "1.key").public.text for zone in ZONES}

    def of(zone: str) -> ObjectEncryption:
        others: dict[str, Sequence[str] | Path] = {
            other: [text] for other, text in texts.items() if other != zone
        }
        return ObjectEncryption(FolderKeys(zone, tmp_path / zone, others), required=False)

    return {zone: of(zone) for zone in ZONES}


def sealed(zones: Encryptions, *spools: SpoolSubjects) -> tuple[Manifest, list[bytes]]:
    sealer = zones["hospital"].sealer(spools)
    pieces = [sealer.piece(0, b"patient"), sealer.last(1, b"")]
    return MANIFEST.model_copy(update={"encryption": sealer.head(MANIFEST, COMMAND)}), pieces


@pytest.mark.parametrize(
    ("spool", "readers"),
    [
        (TO_CLOUD, {"hospital", "cloud"}),
        (TO_AE, {"hospital", "cloud", "lab"}),
        (BEFORE_HOOKS, {"hospital"}),
        (SpoolSubjects("DIMSE", "hospital", DestinationKind.ORIGIN, "hospital"), {"hospital"}),
    ],
)
def test_who_can_open_an_object(zones: Encryptions, spool: SpoolSubjects, readers: set[str]) -> None:
    manifest, pieces = sealed(zones, spool)
    for zone, encryption in zones.items():
        if zone in readers:
            unseal = encryption.opener(spool, manifest, COMMAND)
            assert unseal is not None
            assert [unseal(number, piece) for number, piece in enumerate(pieces)] == [b"patient", b""]
        else:
            with pytest.raises(EncryptionError) as unknown:
                encryption.opener(spool, manifest, COMMAND)
            assert unknown.value.code == "encryption-key-unknown"


def test_several_destinations_share_one_sealed_object(zones: Encryptions) -> None:
    manifest, pieces = sealed(zones, TO_CLOUD, TO_AE)
    for spool in (TO_CLOUD, TO_AE):
        unseal = zones["cloud"].opener(spool, manifest, COMMAND)
        assert unseal is not None
        assert unseal(0, pieces[0]) == b"patient"


@pytest.mark.parametrize(
    "change",
    [
        {"object_id": "1" * 32},
        {"sop_class": "1.3"},
        {"sop_instance": "1.2.4"},
        {"transfer_syntax": "1.2.840.10008.1.2"},
        {"called_ae": "OTHER"},
        {"calling_ae": "OTHER"},
        {"route": None},
        {"size": 8},
        {"chunks": 0},
        {"digest": "cd" * 32},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_manifest_that_was_changed_opens_nothing(zones: Encryptions, change: dict[str, object]) -> None:
    manifest, _ = sealed(zones, TO_CLOUD)
    with pytest.raises(EncryptionError):
        zones["cloud"].opener(TO_CLOUD, manifest.model_copy(update=change), COMMAND)


def test_neither_the_command_set_nor_the_destination_can_be_changed(zones: Encryptions) -> None:
    manifest, _ = sealed(zones, TO_CLOUD)
    with pytest.raises(EncryptionError):
        zones["cloud"].opener(TO_CLOUD, manifest, COMMAND + b"x")
    with pytest.raises(EncryptionError):
        zones["cloud"].opener(TO_AE, manifest, COMMAND)
    assert manifest.encryption is not None
    moved = manifest.encryption.model_copy(update={"destinations": ("ae ARCHIVE",)})
    with pytest.raises(EncryptionError):
        zones["cloud"].opener(TO_AE, manifest.model_copy(update={"encryption": moved}), COMMAND)


Pieces = list[bytes]


@pytest.mark.parametrize(
    "change",
    [
        lambda pieces: [pieces[1], pieces[0]],
        lambda pieces: [pieces[0], pieces[0]],
        lambda pieces: [pieces[0][:-1], pieces[1]],
        lambda pieces: [bytes([pieces[0][0] ^ 1]) + pieces[0][1:], pieces[1]],
        lambda pieces: [pieces[1]],
        lambda pieces: [pieces[0], b""],
    ],
)
def test_pieces_that_were_changed_or_moved_do_not_open(
    zones: Encryptions, change: Callable[[Pieces], Pieces]
) -> None:
    manifest, pieces = sealed(zones, TO_CLOUD)
    unseal = zones["cloud"].opener(TO_CLOUD, manifest, COMMAND)
    assert unseal is not None
    with pytest.raises(EncryptionError):
        [unseal(number, piece) for number, piece in enumerate(change(pieces))]


def test_another_zone_cannot_speak_for_the_source_zone(zones: Encryptions) -> None:
    sealer = zones["lab"].sealer([TO_CLOUD])
    manifest = MANIFEST.model_copy(update={"encryption": sealer.head(MANIFEST, COMMAND)})
    with pytest.raises(EncryptionError):
        zones["cloud"].opener(TO_CLOUD, manifest, COMMAND)


def test_an_object_in_the_clear_passes_only_where_nothing_else_is_demanded(zones: Encryptions) -> None:
    elsewhere = TO_CLOUD._replace(zone="elsewhere")
    assert zones["cloud"].opener(elsewhere, MANIFEST, COMMAND) is None
    with pytest.raises(EncryptionError):
        zones["cloud"].opener(TO_CLOUD, MANIFEST, COMMAND)
    with pytest.raises(EncryptionError):
        replace(zones["cloud"], required=True).opener(elsewhere, MANIFEST, COMMAND)
