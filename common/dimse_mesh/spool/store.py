"""The streams of a source zone: made by its keeper, waited for by its front-ends.

Whoever makes a stream tells JetStream which subjects to keep and where to repeat them, and JetStream asks for no
permission for those. So front-ends, which face strangers, can't.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence
from typing import Any

import anyio

from dimse_mesh.mesh import JetStream, JetStreamRefusal, MeshError, NoResponders, NotPermitted, pack
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.settings_durable import SpoolSettings
from dimse_mesh.schemas.spool import SpoolMade
from dimse_mesh.schemas.spool_subjects import (
    SpoolSubjects,
    StateKind,
    commitment_request,
    commitment_stream,
    origin_spool,
    origin_stream,
    receipt_interest,
    receipt_stream,
    state_interest,
    state_stream,
    study_origin,
)

log = logging.getLogger(__name__)

OLDEST_SERVER = (2, 15)
"""Before this one nats-server lost acknowledged messages when it compacted a block (nats-server #8456, #8475)."""
DUPLICATE_WINDOW = 120 * 1_000_000_000
"""Nanoseconds in which nats-server knows a message again that is sent twice."""
STATE_BYTES = 16 << 20
COMMITMENT_BYTES = 256 << 20
RECEIPT_BYTES = 1 << 30
"""At most; and a part of what a spool may take, since JetStream reserves them on the disk."""
ORIGIN_BYTES = 256 << 20
"""At most: of about a million studies."""
SECOND = 1_000_000_000
"""In nanoseconds, as JetStream counts."""
LOOK_INTERVAL = 0.2
"""Seconds between looks for a spool that isn't made yet."""
PATIENCE = 5.0
"""Seconds of waiting for a spool after which it is said aloud: services of one zone start at the same time."""


def spool_config(spool: SpoolSubjects, settings: SpoolSettings) -> dict[str, Any]:
    """Return the configuration of a destination's stream.

    Nothing is ever removed by nats-server itself: only the delivery that has succeeded, or an operator, removes.
    """
    more: dict[str, Any] = {}
    if not spool.is_shared:
        more["republish"] = {"src": spool.object(), "dest": spool.spooled, "headers_only": True}
    return _in_files(
        spool.stream,
        list(spool.interest),
        settings,
        discard="new",
        max_bytes=settings.max_bytes,
        **more,
    )


def state_config(root: str, zone: str, settings: SpoolSettings) -> dict[str, Any]:
    """Return the configuration of the stream of what a source zone keeps about its destinations."""
    return _newest(
        state_stream(root, zone), state_interest(root, zone), settings, discard="old", max_bytes=STATE_BYTES
    )


def commitment_config(root: str, zone: str, settings: SpoolSettings) -> dict[str, Any]:
    """Return the configuration of the stream of requests for storage commitment."""
    return _newest(
        commitment_stream(root, zone),
        commitment_request(root, zone),
        settings,
        discard="new",
        max_bytes=min(COMMITMENT_BYTES, settings.max_bytes // 16),
    )


def receipt_config(root: str, zone: str, settings: SpoolSettings) -> dict[str, Any]:
    """Return the configuration of the stream of receipts: the oldest go first."""
    return _newest(
        receipt_stream(root, zone),
        receipt_interest(root, zone),
        settings,
        discard="old",
        max_bytes=min(RECEIPT_BYTES, settings.max_bytes // 8),
        max_age=int(settings.commitment_age * SECOND),
    )


def origin_config(root: str, zone: str, settings: SpoolSettings) -> dict[str, Any]:
    """Return the configuration of the stream of where studies came from: the oldest go first."""
    return _newest(
        origin_stream(root, zone),
        study_origin(root, zone),
        settings,
        discard="old",
        max_bytes=min(ORIGIN_BYTES, settings.max_bytes // 8),
        max_age=settings.origin_days * 86400 * SECOND,
    )


def _in_files(name: str, subjects: list[str], settings: SpoolSettings, **more: Any) -> dict[str, Any]:
    """Return what all streams of a source zone have in common, and more."""
    return {
        "name": name,
        "subjects": subjects,
        "retention": "limits",
        "storage": "file",
        "num_replicas": settings.replicas,
        "duplicate_window": DUPLICATE_WINDOW,
        "allow_direct": True,
        **more,
    }


def _newest(name: str, subject: str, settings: SpoolSettings, **more: Any) -> dict[str, Any]:
    """Return the configuration of a stream that keeps the newest message of each subject.

    No roll-up headers: whoever may write one word could empty the whole stream by them.
    """
    return _in_files(name, [subject], settings, max_msgs_per_subject=1, allow_rollup_hdrs=False, **more)


async def ensure_streams(
    jetstream: JetStream, root: str, zone: str, spools: Sequence[SpoolSubjects], settings: SpoolSettings
) -> None:
    """Create the streams of a source zone that are missing, and say so to its front-ends.

    Raises:
        StartError: JetStream isn't there, is too old, or grants less than the settings ask for.
    """
    config = state_config(root, zone, settings)
    try:
        await _ensure(jetstream, config)
        for config in (commitment_config(root, zone, settings), receipt_config(root, zone, settings)):
            await _ensure(jetstream, config)
        if origin_spool(root, zone) in spools:
            config = origin_config(root, zone, settings)
            await _ensure(jetstream, config)
        for spool in spools:
            config = spool_config(spool, settings)
            made = SpoolMade(nats_server=await _ensure(jetstream, config), when=time.time())
            await jetstream.publish(spool.state(StateKind.MADE), pack(made), message_id=uuid.uuid4().hex)
    except NoResponders as error:
        raise StartError(f"durable routes need JetStream: {error}") from error
    except JetStreamRefusal as error:
        raise StartError(
            f"durable routes: nats-server does not create the stream {config['name']}: {error} "
            "(spool.max_bytes, spool.replicas)"
        ) from error
    except MeshError as error:
        raise StartError(f"durable routes: {error}") from error


async def until_made(jetstream: JetStream, spools: Sequence[SpoolSubjects], draining: anyio.Event) -> bool:
    """Wait until the keeper has made these spools, and say once what is waited for. False: told to drain before.

    Raises:
        NotPermitted: our user may not see them.
    """
    said_at = anyio.current_time() + PATIENCE
    for spool in spools:
        while not await _is_made(jetstream, spool):
            if anyio.current_time() >= said_at:
                said_at = float("inf")
                log.warning(
                    "durable routes: the spool of %s isn't made yet; waiting for the C-STORE handler of this zone "
                    "(dimse-mesh run store), which makes it in JetStream",
                    spool.label,
                )
            with anyio.move_on_after(LOOK_INTERVAL):
                await draining.wait()
                return False
    return True


async def _is_made(jetstream: JetStream, spool: SpoolSubjects) -> bool:
    try:
        return await jetstream.last(spool.state_stream, spool.state(StateKind.MADE)) is not None
    except NotPermitted:
        raise
    except MeshError as error:
        log.debug("the spool of %s can't be seen: %s", spool.label, error)
        return False


async def _ensure(jetstream: JetStream, config: dict[str, Any]) -> str:
    """Create a stream, or change it; return the version of nats-server.

    Raises:
        StartError: that version loses what it has acknowledged.
        MeshError: JetStream doesn't create it.
    """
    found = await jetstream.ensure_stream(config)
    version: str = (found["config"].get("metadata") or {}).get("_nats.ver", "0")
    _check_version(version)
    return version


def _check_version(version: str) -> None:
    """Refuse a nats-server that loses what it has acknowledged.

    Raises:
        StartError: it is one.
    """
    numbers = tuple(int(part) for part in version.split("-", maxsplit=1)[0].split(".")[:2] if part.isdigit())
    if numbers < OLDEST_SERVER:
        raise StartError(
            f"durable routes need nats-server {'.'.join(map(str, OLDEST_SERVER))} or later, this one is {version}: "
            "older ones lose acknowledged messages when they compact a block and the power fails"
        )
