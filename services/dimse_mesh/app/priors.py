"""`dimse-mesh priors`: follow a zone's new studies, or fetch the priors of one now."""

from __future__ import annotations

import logging
import signal
import sys
from dataclasses import replace
from pathlib import Path

import anyio
from anyio.abc import TaskStatus

from dimse_mesh.app.priors_intake import PriorsIntake
from dimse_mesh.app.priors_state import PriorsState
from dimse_mesh.app.priors_work import PriorsRefused, PriorsWorker
from dimse_mesh.app.uid import is_uid
from dimse_mesh.app.way_in import WayIn, open_door
from dimse_mesh.client import AssociationError
from dimse_mesh.runtime.logging import configure_logging
from dimse_mesh.runtime.ready import say_ready
from dimse_mesh.runtime.settings import ZoneSettings, load_settings
from dimse_mesh.runtime.settings_errors import ConfigurationError

log = logging.getLogger(__name__)


def follow(config: Path, nats: str | None) -> int:
    """Fetch the priors of what arrives, until SIGTERM or SIGINT; return the exit code.

    Raises:
        ConfigurationError: the file can't be used, or has no rules.
        StartError: the state can't be used.
        MeshUnavailable: no connection to NATS.
    """
    settings, way = _zone(config, nats)
    configure_logging(settings.observability, {"service": "priors", "zone": settings.zone})
    state = PriorsState(settings.priors.state)
    try:
        anyio.run(_follow, settings, way, state)
    finally:
        state.close()
    return 0


def fetch_now(config: Path, nats: str | None, study: str) -> int:
    """Fetch the priors of one study, new or not; return 0 if all are there.

    Raises:
        ConfigurationError, StartError, MeshUnavailable: as `follow`.
    """
    if not is_uid(study):
        raise ConfigurationError([f"--study {study!r}: not a Study Instance UID"])
    settings, way = _zone(config, nats)
    state = PriorsState(settings.priors.state)
    try:
        return anyio.run(_fetch_now, settings, way, state, study)
    finally:
        state.close()


def print_state(config: Path) -> int:
    """Print how many studies wait, failed and were moved.

    Raises:
        ConfigurationError, StartError: as `follow`.
    """
    state = PriorsState(_settings(config).priors.state)
    try:
        counts = state.counts()
    finally:
        state.close()
    for what, count in sorted(counts.items()):
        print(f"{count:8} {what}")
    if not counts:
        print("no new study has come yet")
    return 0


def _settings(config: Path) -> ZoneSettings:
    settings = load_settings(config)
    if not settings.priors.rules:
        raise ConfigurationError([f"{config}: priors.rules: there is no rule"])
    return settings


def _zone(config: Path, nats: str | None) -> tuple[ZoneSettings, WayIn]:
    settings = _settings(config)
    way = WayIn.of(config, nats, settings.subject_root, settings.priors.calling_ae)
    return settings, replace(way, own_zone=False)


async def _follow(settings: ZoneSettings, way: WayIn, state: PriorsState) -> None:
    draining = anyio.Event()
    async with open_door(way) as door, anyio.create_task_group() as tasks:
        worker = PriorsWorker(door, settings.priors, state)
        intake = PriorsIntake(door.mesh, settings, state, worker.wake)
        await tasks.start(_drain_on_signal, draining)
        await intake.listen()
        tasks.start_soon(intake.read)
        say_ready()
        log.info("following the studies that arrive at %s", ", ".join(_arrivals(settings)))
        await worker.run(draining)
        tasks.cancel_scope.cancel()


def _arrivals(settings: ZoneSettings) -> list[str]:
    return list(dict.fromkeys(title for rule in settings.priors.rules for title in rule.arrivals))


async def _drain_on_signal(draining: anyio.Event, *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            draining.set()


async def _fetch_now(settings: ZoneSettings, way: WayIn, state: PriorsState, study: str) -> int:
    draining = anyio.Event()
    code = 0
    async with open_door(way) as door:
        worker = PriorsWorker(door, settings.priors, state)
        for rule in settings.priors.rules:
            try:
                moved = await worker.fetch(study, rule, draining, at_any_age=True)
                print(f"{rule.pacs} to {rule.to}: {moved} studies moved")
            except (AssociationError, PriorsRefused) as error:
                print(f"{rule.pacs} to {rule.to}: {error}", file=sys.stderr)
                code = 1
    return code
