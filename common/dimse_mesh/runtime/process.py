"""A service process from start to exit code: builds the collaborators, runs the service, drains, closes.

A process always stops in this order: unready, stop accepting, drain (the service itself), close NATS, flush spans.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import anyio
import anyio.abc

from dimse_mesh.audit import AuditRecorder
from dimse_mesh.mesh.connection import open_mesh
from dimse_mesh.mesh.discovery import EndpointStats, ServiceDescription, ServiceEndpoint, announce
from dimse_mesh.mesh.errors import MeshError
from dimse_mesh.mesh.liveness import open_liveness
from dimse_mesh.runtime.auditing import auditing
from dimse_mesh.runtime.certificates import expiries
from dimse_mesh.runtime.context import Readiness, ServiceContext
from dimse_mesh.runtime.counters import APPROVED, Counters, Held
from dimse_mesh.runtime.errors import StartError, first_of
from dimse_mesh.runtime.health import HealthServer
from dimse_mesh.runtime.logging import EventLog, configure_logging
from dimse_mesh.runtime.ready import say_ready
from dimse_mesh.runtime.secrecy import keep_secrets
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.runtime.signals import drain_on_signal, drained
from dimse_mesh.runtime.supervised import FAILED, READY, Supervised
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.service import OPERATIONS, ServiceName
from dimse_mesh.schemas.subjects import ServiceSubjects

STOP_SECONDS = 10.0
"""Seconds to close NATS and flush spans after the service has drained."""

ServiceMain = Callable[[ServiceContext], Awaitable[None]]

log = EventLog("dimse_mesh.runtime")


def run_service(
    service: ServiceName,
    settings: ZoneSettings,
    main: ServiceMain,
    *,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Run one service until SIGTERM or SIGINT, or until it can't go on; return the exit code.

    A failure is reported in one line: to the supervisor if there is one, else on standard error.
    """
    environ = os.environ if environ is None else environ
    supervised = Supervised.from_environment(environ)
    supervised.follow_parent()
    _allow_open_files()
    configure_logging(
        settings.observability,
        {"service": service.value, "zone": settings.zone, "instance": supervised.instance},
    )
    keep_secrets(allow_debuggers=settings.observability.allow_debuggers)
    serve = partial(_serve, service, settings, main, supervised, environ)
    try:
        anyio.run(serve, backend_options={"use_uvloop": _has_uvloop()})
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the process' edge: every failure becomes a line and a code
        why = explain(error)
        if why is None:
            log.failure("crashed", error)
            why = f"{service.value}: stopped by an error of its own, {type(error).__name__}: see the log"
        if not supervised.report(FAILED, why):
            print(why, file=sys.stderr)
        return 1
    drained()
    return 0


def explain(error: BaseException) -> str | None:
    """Return one line about a failure that people can do something about; None for any other failure."""
    known = first_of(error, (StartError, MeshError, OSError))
    match known:
        case None:
            return None
        case MeshError():
            return f"NATS: {known}" if "NATS" not in str(known).upper() else str(known)
        case OSError():
            where = f"{known.filename}: " if isinstance(known.filename, str | os.PathLike) else ""
            return f"{where}{known.strerror or known}"
        case _:
            return str(known)


async def _serve(
    service: ServiceName,
    settings: ZoneSettings,
    main: ServiceMain,
    supervised: Supervised,
    environ: Mapping[str, str],
) -> None:
    counters = Counters()
    telemetry = Telemetry.from_settings(
        settings.observability,
        service=service,
        zone=settings.zone,
        instance=supervised.instance,
        counters=counters,
        environ=environ,
    )
    counters.certificates = partial(expiries, settings, service)
    readiness = Readiness(partial(_say_ready, supervised))
    try:
        async with anyio.create_task_group() as tasks:
            if settings.observability.http is not None:
                await tasks.start(_health(settings, readiness, telemetry).serve)
            async with auditing(settings, service.value, counters) as audit:
                await _connected(
                    service, settings, main, supervised, counters, telemetry, readiness=readiness, audit=audit
                )
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await telemetry.stop()


async def _connected(  # noqa: PLR0917 - all of them are what a context is made of
    service: ServiceName,
    settings: ZoneSettings,
    main: ServiceMain,
    supervised: Supervised,
    counters: Counters,
    telemetry: Telemetry,
    *,
    readiness: Readiness,
    audit: AuditRecorder | None,
) -> None:
    """Connect to the mesh, run `main`, disconnect."""
    draining = anyio.Event()
    # An executor's first heartbeat already names the AEs that it serves, so that front-ends know them from then on,
    # even while the executor can't be reached.
    executor = service is ServiceName.SCU
    by_ae = {remote.ae_title: 0 for remote in settings.scu.remote_aes} if executor else {}
    async with (
        open_mesh(
            settings.nats,
            root=settings.subject_root,
            address=InstanceAddress(settings.zone, Role(service.value), supervised.instance),
            first_connect_timeout=settings.mesh.first_connect_timeout,
        ) as mesh,
        open_liveness(
            mesh,
            load=lambda: dict(by_ae),
            serves_zone=executor and settings.scu.default_ae is not None,
            settings=settings.liveness,
        ) as liveness,
        anyio.create_task_group() as tasks,
    ):
        context = ServiceContext(
            service=service,
            settings=settings,
            instance=supervised.instance,
            mesh=mesh,
            liveness=liveness,
            telemetry=telemetry,
            counters=counters,
            readiness=readiness,
            draining=draining,
            associations_by_ae=by_ae,
            audit=audit,
        )
        await announce(mesh, describe(service, settings, counters))
        readiness.depends_on(lambda: mesh.connected)
        readiness.needs(lambda: mesh.unheard)
        counters.mesh_connected = lambda: mesh.connected
        counters.held = lambda: Held(
            tasks=len(asyncio.all_tasks()), subscriptions=mesh.subscriptions, watched=liveness.watched
        )
        mesh.on_change(partial(_count_outage, counters))
        grace = drain_seconds(service, settings) + STOP_SECONDS
        await tasks.start(partial(drain_on_signal, draining, grace=grace))
        tasks.start_soon(_unready_when_draining, context)
        log.info("started", pid=os.getpid())
        await main(context)
        if not draining.is_set():
            raise StartError(f"{service.value}: ended by itself")
        log.info("drained")
        tasks.cancel_scope.cancel()


def _count_outage(counters: Counters, connected: bool) -> None:
    counters.mesh_outages += not connected


async def _unready_when_draining(context: ServiceContext) -> None:
    await context.draining.wait()
    log.info("draining")
    context.readiness.draining()
    context.liveness.drain()


def describe(service: ServiceName, settings: ZoneSettings, counters: Counters) -> ServiceDescription:
    """Return what `nats micro` shows of a service."""
    from importlib.metadata import version

    subjects = ServiceSubjects(settings.subject_root)
    endpoints: list[ServiceEndpoint] = []

    def stats() -> EndpointStats:
        done, own = counters.operations, OPERATIONS.get(service)
        if own is not None:
            # An endpoint's process may host several handlers, and counts for all of them.
            done = {key: count for key, count in counters.handled.items() if key[0] in own}
        total = sum(done.values())
        good = sum(count for (_, outcome), count in done.items() if outcome in {APPROVED, "success"})
        return EndpointStats(requests=total, errors=total - good)

    match service:
        case ServiceName.ASSOCIATION:
            text = "DICOM front-end: hospital systems connect here"
        case ServiceName.SCU:
            text = "Executor: opens associations to this zone's AEs"
            for remote in settings.scu.remote_aes:
                subject = subjects.ae_open(remote.ae_title)
                endpoints.append(ServiceEndpoint("open", subject.interest, subject.queue, stats))
            if settings.scu.default_ae is not None:
                subject = subjects.zone_open(settings.zone)
                endpoints.append(ServiceEndpoint("open-zone", subject.interest, subject.queue, stats))
        case ServiceName.STORE | ServiceName.QUERY_RETRIEVE | ServiceName.N_SERVICE:
            text = f"Handler of {service.value} operations: policy, then on to the other endpoint"
            operations = subjects.operations(settings.zone, service)
            endpoints.append(ServiceEndpoint("operations", operations.interest, operations.queue, stats))
        case ServiceName.DELIVERY:
            text = "Delivery: sends what durable routes have acknowledged to this zone's AEs"
    return ServiceDescription(service, version("dimse-mesh"), text, endpoints)


def drain_seconds(service: ServiceName, settings: ZoneSettings) -> float:
    """Return how long a service may take to drain."""
    match service:
        case ServiceName.ASSOCIATION:
            return settings.association.drain_timeout
        case ServiceName.SCU:
            return settings.scu.drain_timeout
        case ServiceName.STORE:
            return settings.store.drain_timeout
        case ServiceName.QUERY_RETRIEVE:
            return settings.query_retrieve.drain_timeout
        case ServiceName.N_SERVICE:
            return settings.n_service.drain_timeout
        case ServiceName.DELIVERY:
            return settings.delivery.drain_timeout


def _health(settings: ZoneSettings, readiness: Readiness, telemetry: Telemetry) -> HealthServer:
    http, metrics = settings.observability.http, telemetry.metrics
    assert http is not None
    assert metrics is not None
    return HealthServer(http, unready=readiness.unready, exposition=metrics.exposition)


def _allow_open_files() -> None:
    """Raise the limit of open files as far as it may be: an association takes two (its socket, and QUICKACK's)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _say_ready(supervised: Supervised) -> None:
    # The objects that exist now live as long as the process: keep the garbage collector from visiting them.
    gc.collect()
    gc.freeze()
    log.info("ready")
    if not supervised.report(READY):
        say_ready()


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return False
    return True
