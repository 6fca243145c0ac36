"""What the `queue` commands do: look into the spools of a zone, and decide about what is in them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from dimse_mesh.app.audited import audited
from dimse_mesh.app.local_keys import with_local_keys
from dimse_mesh.app.printable import printable
from dimse_mesh.audit.codes import AuditedKind
from dimse_mesh.delivery.report import IDLE
from dimse_mesh.mesh import JetStream, open_mesh
from dimse_mesh.runtime.encryption import object_encryption
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.settings import ZoneSettings, load_settings
from dimse_mesh.runtime.settings_durable import SpoolSettings
from dimse_mesh.runtime.spools import shares_of, spools_of
from dimse_mesh.runtime.supervised import new_instance
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.spool_subjects import Share, SpoolSubjects
from dimse_mesh.spool import (
    AcknowledgedNames,
    Buried,
    DamagedObject,
    SpooledObject,
    SpoolInspector,
    SpoolSummary,
    for_each,
    naming,
    read_data_set,
)

if TYPE_CHECKING:
    from dimse_mesh.encryption.objects import ObjectEncryption

DAMAGED = "damaged"
NO_QUEUE = "this zone has no durable route: there is no queue"
SILENT = 15.0
"""Seconds after which a status word that announced another attempt is an old one."""


@dataclass(frozen=True, slots=True)
class Queues:
    """The spools of a zone's durable routes, in the order of its routes."""

    jetstream: JetStream
    spools: tuple[SpoolSubjects, ...]
    shares: tuple[Share, ...]
    """What several of the destinations share."""
    settings: SpoolSettings
    max_payload: int
    """Bytes of a message that nats-server accepts."""
    names: AcknowledgedNames
    """Of what a command puts into a spool."""
    encryption: ObjectEncryption | None = None
    """Of the zone; None: it has none."""

    def inspector(self, destination: str) -> SpoolInspector:
        """Return one by its name: an AE title, or `zone:NAME`.

        Raises:
            StartError: no durable route leads there.
        """
        for spool in self.spools:
            if spool.label == destination:
                return SpoolInspector(self.jetstream, spool)
        names = ", ".join(spool.label for spool in self.spools) or "none"
        raise StartError(f"no durable route leads to {destination}; there are: {names}")

    def every(self, destination: str | None) -> list[SpoolInspector]:
        """Return the one that is named, or all."""
        if destination is not None:
            return [self.inspector(destination)]
        return [SpoolInspector(self.jetstream, spool) for spool in self.spools]


@asynccontextmanager
async def open_queues(settings: ZoneSettings) -> AsyncIterator[Queues]:
    """Connect to the nats-server of a source zone for the length of the block.

    Raises:
        MeshUnavailable: no connection to NATS.
        StartError: a key of the encryption is unusable.
    """
    encryption = object_encryption(settings)
    async with open_mesh(
        with_local_keys(settings.nats, settings.zone),
        root=settings.subject_root,
        address=InstanceAddress(settings.zone, Role.COMMAND, new_instance()),
        first_connect_timeout=settings.mesh.first_connect_timeout,
    ) as mesh:
        jetstream = JetStream(mesh, domain=settings.spool.domain, deadline=settings.spool.deadline)
        await jetstream.start()
        async with naming(
            jetstream, max_payload=mesh.max_payload, receipts_kept=settings.spool.commitment_age
        ) as names:
            yield Queues(
                jetstream,
                spools_of(settings),
                shares_of(settings),
                settings.spool,
                mesh.max_payload,
                names,
                encryption,
            )


def with_queues(config: Path, do: Callable[[Queues], Awaitable[int]]) -> int:
    """Run a command against the spools of the zone that a file describes; return its exit code.

    Raises:
        ConfigurationError, MeshError, StartError: it can't be done.
    """
    return _run(load_settings(config), do)


def decide(
    config: Path,
    action: str,
    destination: str,
    do: Callable[[Queues], Awaitable[int]],
    *,
    ids: Sequence[str] = (),
    details: Mapping[str, str] | None = None,
) -> int:
    """Run a command that changes a queue, or takes objects out of it; the audit trail says who has done so.

    Raises:
        ConfigurationError, MeshError, StartError: it can't be done.
    """
    settings = load_settings(config)
    told = {"objects": f"{len(ids)} named" if ids else "all"} | dict(details or {})
    return audited(settings, action, AuditedKind.QUEUE, destination, lambda: _run(settings, do), details=told)


def _run(settings: ZoneSettings, do: Callable[[Queues], Awaitable[int]]) -> int:
    async def main() -> int:
        async with open_queues(settings) as queues:
            return await do(queues)

    return anyio.run(main)


# --- looking


async def show_list(queues: Queues, *, as_json: bool) -> int:
    """Print one line for each destination."""
    rows = [(each.spool.label, await each.summary(queues.shares)) for each in queues.every(None)]
    if as_json:
        for name, summary in rows:
            print(json.dumps({"destination": name, **_numbers(summary), "says": sentence_of(summary)}))
        return 0
    if not rows:
        print(NO_QUEUE)
        return 0
    print(f"{'destination':<20} {'waiting':>9} {'failed':>7} {'bytes':>10} {'oldest':>8}  state")
    for name, summary in rows:
        oldest = "" if summary.oldest is None else age(summary.oldest)
        show(
            f"{name:<20} {summary.waiting:>9} {summary.failed:>7} {size(summary.size):>10} {oldest:>8}"
            f"  {sentence_of(summary)}"
        )
    return 0


async def show_why(queues: Queues, destination: str | None) -> int:
    """Print in one sentence what each destination's queue waits for."""
    if not queues.spools:
        print(NO_QUEUE)
    for each in queues.every(destination):
        show(f"{each.spool.label}: {sentence_of(await each.summary(queues.shares))}")
    return 0


async def show_objects(queues: Queues, destination: str, *, failed: bool, limit: int, as_json: bool) -> int:
    """Print the objects that wait, or the dead letters, the oldest first."""
    inspector = queues.inspector(destination)
    count = 0
    async for spooled, buried in _entries(inspector, failed=failed):
        if limit and count >= limit:
            print(f"... and more: --max {limit}", file=sys.stderr)
            break
        count += 1
        manifest = spooled.manifest
        cause = "" if buried is None else f"{buried.letter.cause} {buried.letter.detail}".strip()
        if as_json:
            facts = manifest.model_dump(exclude={"command_length", "traceparent"})
            if buried is not None:
                facts |= buried.letter.model_dump(exclude={"manifest"})
            print(json.dumps(facts))
        else:
            show(
                f"{manifest.object_id}  {manifest.sop_instance}  {size(manifest.size):>9}  {manifest.calling_ae:<16}"
                f"  {age(manifest.received):>7}  {cause}".rstrip()
            )
    return 0


async def show_damaged(queues: Queues, destination: str | None) -> int:
    """Print the SOP instance UIDs of objects that must be asked for again; 1 if there are any."""
    found = False
    for each in queues.every(destination):
        async for buried in each.dead_letters():
            if buried.letter.cause == DAMAGED:
                found = True
                manifest = buried.letter.manifest
                show(f"{manifest.sop_instance}  from {manifest.calling_ae} for {each.spool.label}")
    return int(found)


# --- deciding


async def retry(queues: Queues, destination: str, ids: Sequence[str]) -> int:
    """Put dead letters at the end of the queue: those that are named, or all that there are now, in their order."""
    inspector = queues.inspector(destination)
    count = 0

    async def meant() -> AsyncIterator[Buried]:
        # Up to now: one that is put back may be a dead letter again before the last one has had its turn.
        async for buried in inspector.dead_letters(last=await inspector.end()):
            if not _is_meant(buried.spooled, ids):
                continue
            if buried.is_name_alone:
                lost = (
                    f"{buried.spooled.manifest.sop_instance} stays: nothing of it is left, ask for it again"
                )
                print(printable(lost), file=sys.stderr)
            else:
                yield buried

    async def put_back(buried: Buried) -> None:
        nonlocal count
        sequence = await inspector.retry(buried)
        queues.names.note(inspector.spool, buried.letter.manifest, sequence)
        count += 1

    try:
        await for_each(meant(), put_back, weight=lambda buried: len(buried.spooled.message))
    finally:
        print(f"{count} put back into the queue of {destination}")
    return int(count < len(ids))


async def drop(queues: Queues, destination: str, ids: Sequence[str], *, waiting: bool) -> int:
    """Remove dead letters for good, or objects that wait: those that are named, or all that there are now."""
    inspector = queues.inspector(destination)
    count = 0

    async def remove(spooled: SpooledObject) -> None:
        nonlocal count
        await inspector.drop(spooled)
        show(f"dropped {spooled.manifest.sop_instance}")
        count += 1

    await for_each(
        chosen(inspector, ids, failed=not waiting), remove, weight=lambda spooled: len(spooled.message)
    )
    return int(count < len(ids))


async def export(queues: Queues, destination: str, folder: Path, *, failed: bool) -> int:
    """Write the objects that wait, or the dead letters, as DICOM files; they stay where they are."""
    from dimse_mesh.app.received_files import ReceivedFiles

    inspector = queues.inspector(destination)
    files = ReceivedFiles(folder)
    async for spooled, _ in _entries(inspector, failed=failed):
        await files.begin(spooled.command, spooled.manifest.transfer_syntax)
        try:
            async for piece in read_data_set(
                queues.jetstream, inspector.spool, spooled, encryption=queues.encryption
            ):
                await files.write(memoryview(piece))
        except DamagedObject as damage:
            files.close()
            files.failures.append(f"{spooled.manifest.sop_instance}: {damage}")
            continue
        await files.end()
    for line in (*files.notes, *files.failures):
        print(printable(line), file=sys.stderr)
    print(f"{len(files.sizes)} written to {folder}")
    return int(bool(files.failures))


# --- words


def show(line: str) -> None:
    """Print a line that holds words of peers, or of the bus: none of them steers a terminal."""
    print(printable(line))


def sentence_of(summary: SpoolSummary) -> str:
    """Return in one sentence what a queue waits for."""
    status, pause_now = summary.status, summary.pause
    if pause_now is not None:
        until = (
            "until `queue resume`"
            if pause_now.until is None
            else f"for {age(2 * time.time() - pause_now.until)}"
        )
        return f"paused {until}" + (f": {pause_now.reason}" if pause_now.reason else "")
    if not summary.waiting:
        return "nothing waits" + (f"; {summary.failed} dead letters" if summary.failed else "")
    if status is None:
        return f"{summary.waiting} wait, and no delivery service has ever looked: is one running in its zone?"
    if status.next_attempt is not None and time.time() > status.next_attempt + SILENT:
        return f"{summary.waiting} wait, and the delivery service is silent: it said last, {status.sentence}"
    if status.next_attempt is not None:
        wait = max(0.0, status.next_attempt - time.time())
        return f"{summary.waiting} wait: {status.sentence}; next attempt in {wait:.0f} s"
    if status.sentence == IDLE:  # its word is from before they came
        return f"{summary.waiting} wait, and the delivery service has not seen them yet: is the line to its zone up?"
    return f"{summary.waiting} wait: {status.sentence}"


def age(moment: float) -> str:
    """Return how long ago a moment was, in a few characters."""
    seconds = max(0.0, time.time() - moment)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Return a number of bytes in a few characters."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


async def chosen(
    inspector: SpoolInspector, ids: Sequence[str], *, failed: bool
) -> AsyncIterator[SpooledObject]:
    """Yield the objects that are named, or all that there are now: those that wait, or the dead letters."""
    last = await inspector.end()
    async for spooled, _ in _entries(inspector, failed=failed, last=last):
        if _is_meant(spooled, ids):
            yield spooled


async def _entries(
    inspector: SpoolInspector, *, failed: bool, last: int | None = None
) -> AsyncIterator[tuple[SpooledObject, Buried | None]]:
    if failed:
        async for buried in inspector.dead_letters(last=last):
            yield buried.spooled, buried
    else:
        async for spooled in inspector.objects(last=last):
            yield spooled, None


def _is_meant(spooled: SpooledObject, ids: Sequence[str]) -> bool:
    return not ids or spooled.manifest.object_id in ids or spooled.manifest.sop_instance in ids


def _numbers(summary: SpoolSummary) -> dict[str, object]:
    return {
        "waiting": summary.waiting,
        "failed": summary.failed,
        "bytes": summary.size,
        "limit": summary.limit,
        "oldest": summary.oldest,
    }
