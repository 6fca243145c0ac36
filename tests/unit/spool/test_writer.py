"""Which messages an object becomes: one where it can be, the pieces first where it can't."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from typing import cast

import anyio
import anyio.lowlevel
import pytest

from dimse_mesh.dimse import CommandField, CommandSet, Tag
from dimse_mesh.mesh import JetStream, StoredMessage
from dimse_mesh.runtime.settings_durable import SpoolSettings
from dimse_mesh.schemas.spool_subjects import DestinationKind, RoutePriority, SpoolSubjects
from dimse_mesh.spool import ObjectWriter, SpooledObject, parse_object
from dimse_mesh.spool.writer import ROOM_FOR_HEADERS
from tests.support.wire import CT_STORAGE, EXPLICIT_LE

KIB = 1024
MIB = KIB * KIB
UNKNOWN = 0x7777
"""An element that no command set has, which passes all the same."""
SPOOL = SpoolSubjects("R", "z", DestinationKind.AE, "ARCHIVE")
OTHER = SpoolSubjects("R", "z", DestinationKind.AE, "RESEARCH")


class Stored:
    """Takes messages, and remembers what was acknowledged when each came."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.acknowledged: list[int] = []
        self._acknowledged = 0

    async def publish(self, subject: str, payload: bytes, tail: bytes = b"", *, message_id: str) -> int:
        assert message_id
        self.messages.append((subject, payload + tail))
        self.acknowledged.append(self._acknowledged)
        await anyio.lowlevel.checkpoint()
        self._acknowledged += 1
        return len(self.messages)

    @property
    def kinds(self) -> list[str]:
        return [subject.split(".")[5] for subject, _ in self.messages]


def command(*, unknown: bytes = b"") -> CommandSet:
    made = CommandSet.build(
        {
            Tag.AffectedSOPClassUID: CT_STORAGE,
            Tag.CommandField: CommandField.C_STORE_RQ,
            Tag.MessageID: 1,
            Tag.CommandDataSetType: 1,
            Tag.AffectedSOPInstanceUID: "1.2.3",
        }
    )
    return made.replace({UNKNOWN: unknown}) if unknown else made


def write(
    size: int,
    *,
    spools: Sequence[SpoolSubjects] = (SPOOL,),
    settings: SpoolSettings | None = None,
    max_payload: int = MIB,
    request: CommandSet | None = None,
) -> Stored:
    stored = Stored()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            writer = ObjectWriter(
                cast(JetStream, stored), spools, settings or SpoolSettings(), tasks, max_payload=max_payload
            )
            data = os.urandom(size)
            for at in range(0, size, 100_000):
                await writer.write(data[at : at + 100_000])
            await writer.commit(
                request or command(),
                transfer_syntax=EXPLICIT_LE,
                called_ae="ARCHIVE",
                calling_ae="CT",
                received=1.0,
                traceparent=None,
                priority=RoutePriority.MEDIUM,
                receipt=True,
            )

    anyio.run(main)
    return stored


def spooled(stored: Stored) -> SpooledObject:
    subject, payload = stored.messages[-1]
    found = parse_object(StoredMessage(len(stored.messages), subject, payload))
    assert isinstance(found, SpooledObject)
    return found


@pytest.mark.parametrize("size", [1, 8 * KIB, 525_000, 640 * KIB])
def test_an_object_of_one_piece_is_one_message(size: int) -> None:
    stored = write(size)
    assert stored.kinds == ["object"]
    found = spooled(stored)
    assert (found.manifest.chunks, found.manifest.size, len(found.tail)) == (0, size, size)


@pytest.mark.parametrize(("size", "pieces"), [(640 * KIB + 1, 1), (960 * KIB + 1, 2), (3 * MIB, 4)])
def test_a_larger_one_has_all_its_pieces_in_front_of_a_small_manifest(size: int, pieces: int) -> None:
    stored = write(size)
    assert stored.kinds == ["chunk"] * pieces + ["object"]
    assert stored.acknowledged[-1] == pieces
    assert len(spooled(stored).tail) == 0


def test_a_smaller_limit_sets_larger_objects_apart_from_their_manifests() -> None:
    settings = SpoolSettings(inline_limit=64 * KIB)
    assert write(64 * KIB, settings=settings).kinds == ["object"]
    assert write(64 * KIB + 1, settings=settings).kinds == ["chunk", "object"]


@pytest.mark.parametrize("max_payload", [64 * KIB, 256 * KIB, MIB])
def test_no_message_is_larger_than_nats_server_takes(max_payload: int) -> None:
    most = max_payload * 3 // 4 - ROOM_FOR_HEADERS
    for size in (
        most - KIB,
        most,
        max_payload - 2 * ROOM_FOR_HEADERS,
        max_payload - ROOM_FOR_HEADERS,
        max_payload,
    ):
        stored = write(size, max_payload=max_payload, settings=SpoolSettings(inline_limit=MIB))
        assert max(len(payload) for _, payload in stored.messages) < max_payload
        assert len(base64.b64encode(stored.messages[-1][1])) < max_payload - KIB, "its leader can give it out"


def test_a_long_command_set_leaves_its_data_set_less_room() -> None:
    request = command(unknown=bytes(40 * KIB))
    stored = write(100 * KIB, request=request, max_payload=128 * KIB)
    assert stored.kinds == ["chunk", "object"]
    assert max(len(payload) for _, payload in stored.messages) < 128 * KIB


def test_what_several_destinations_share_stands_in_pieces() -> None:
    stored = write(525_000, spools=(SPOOL, OTHER))
    assert stored.kinds == ["chunk", "reference", "reference", "object", "object"]
    assert stored.acknowledged[-2:] == [3, 3]


def test_what_is_kept_to_know_an_object_has_none_of_its_bytes() -> None:
    found = spooled(write(525_000))
    light = found.without_data()
    assert (light.sequence, light.manifest, light.command) == (found.sequence, found.manifest, found.command)
    assert len(light.tail) == len(light.message) == 0
