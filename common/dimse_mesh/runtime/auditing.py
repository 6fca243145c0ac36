"""The audit trail of a process: opened before it works, closed when it has ended."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio import to_thread

from dimse_mesh.audit import (
    AuditForwarder,
    AuditRecorder,
    AuditSource,
    AuditTrail,
    Repository,
    RepositoryTls,
    TrailError,
)
from dimse_mesh.audit.events import application_started, application_stopped, configuration_changed
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.logging import described
from dimse_mesh.runtime.settings import ZoneSettings, dump_complete
from dimse_mesh.runtime.settings_audit import AuditSettings, RepositorySettings

LEAST_KEY = 32
"""Bytes of the key of a hash chain."""


@asynccontextmanager
async def auditing(
    settings: ZoneSettings, service: str, counters: Counters
) -> AsyncIterator[AuditRecorder | None]:
    """Keep the audit trail of a process for the length of the block; None: the zone has none.

    Its first record, the start, is on disk before the block begins: a process that can't keep records doesn't work.

    Raises:
        StartError: the trail can't be written.
    """
    if settings.audit is None:
        yield None
        return
    recorder = recorder_of(settings.audit, settings.zone, service)
    digest = hashlib.sha256(dump_complete(settings).encode()).hexdigest()
    source = recorder.source
    try:
        before = await to_thread.run_sync(
            _exchanged, settings.audit.directory / f"{service}.configuration", digest
        )
        if before not in {None, digest}:
            await to_thread.run_sync(recorder.write_now, configuration_changed(source, before or "", digest))
        await to_thread.run_sync(recorder.write_now, application_started(source, digest))
    except OSError as error:
        raise StartError(f"audit.directory: {error.strerror or error}") from error
    counters.audit = recorder.numbers
    recorder.start()
    why = ""
    try:
        yield recorder
    except Exception as error:
        why = described(error)
        raise
    finally:
        recorder.note(application_stopped(source, why))
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(recorder.stop)


def recorder_of(settings: AuditSettings, zone: str, service: str, *, forwards: bool = True) -> AuditRecorder:
    """Return the recorder of a process.

    Args:
        forwards: whether this process may send the trail to the repository.

    Raises:
        StartError: the folder can't be made, or the key is unusable.
    """
    repository = settings.repository
    try:
        trail = AuditTrail(
            settings.directory,
            max_bytes=settings.max_bytes,
            key=b"" if settings.key is None else chain_key(settings.key),
            is_forwarded=repository is not None,
        )
    except TrailError as error:
        raise StartError(f"audit.directory: {error.strerror}") from error
    forwarder = None
    if repository is not None and forwards:
        forwarder = AuditForwarder(trail, _repository(repository), settled_after=repository.settled_after)
    return AuditRecorder(
        trail, AuditSource(zone, service, settings.site), forwarder=forwarder, is_logged=settings.log
    )


def chain_key(path: Path) -> bytes:
    """Return the key that a file holds.

    Raises:
        StartError: it can't be read, or is too short.
    """
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise StartError(f"{path}: the key of the audit trail can't be read: {error.strerror}") from error
    if len(key) < LEAST_KEY:
        raise StartError(f"{path}: the key of the audit trail has {len(key)} bytes: it needs {LEAST_KEY}")
    return key


def _repository(settings: RepositorySettings) -> Repository:
    tls = settings.tls
    return Repository(
        host=settings.host,
        port=settings.port,
        protocol=settings.protocol,
        tls=RepositoryTls(ca=tls.ca, cert=tls.cert, key=tls.key, server_name=tls.server_name),
    )


def _exchanged(path: Path, digest: str) -> str | None:
    """Remember a digest; return the one that was remembered before."""
    try:
        before = path.read_text("ascii").strip()
    except FileNotFoundError:
        before = None
    except UnicodeDecodeError:
        before = "unreadable"
    if before != digest:
        path.write_text(f"{digest}\n", "ascii")
    return before
