"""The settings and collaborators that a process builds once and passes to its service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import anyio

    from dimse_mesh.audit import AuditRecorder
    from dimse_mesh.mesh.connection import Mesh
    from dimse_mesh.mesh.liveness import Liveness
    from dimse_mesh.runtime.counters import Counters
    from dimse_mesh.runtime.hosted_handlers import HostedHandler
    from dimse_mesh.runtime.settings import ZoneSettings
    from dimse_mesh.runtime.telemetry import Telemetry
    from dimse_mesh.schemas.addresses import InstanceAddress
    from dimse_mesh.schemas.service import ServiceName


def _never() -> bool:
    return False


class Readiness:
    """Whether work may be sent here: the service has started, isn't draining, and NATS is connected."""

    def __init__(self, on_ready: Callable[[], None]) -> None:
        self._connected: Callable[[], bool] = _never
        self._on_ready = on_ready
        self._stands = False
        self._draining = False
        self._needs: list[Callable[[], str | None]] = []

    def needs(self, lack: Callable[[], str | None]) -> None:
        """Follow something else, too: `lack` returns why work may not be sent here because of it, or None."""
        self._needs.append(lack)

    def ready(self) -> None:
        """Note that the listeners and subscriptions are in place, and tell the supervisor."""
        if not self._stands:
            self._stands = True
            self._on_ready()

    def depends_on(self, connected: Callable[[], bool]) -> None:
        """Follow a connection: the process is ready only while it is up."""
        self._connected = connected

    def draining(self) -> None:
        """Note that the service takes no new work."""
        self._draining = True

    def unready(self) -> str | None:
        """Return why work may not be sent here, or None when it may."""
        if self._draining:
            return "draining"
        if not self._stands:
            return "starting"
        if not self._connected():
            return "no connection to NATS"
        return next((why for lack in self._needs if (why := lack()) is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceContext:
    """A service's collaborators. `run(context)` returns once `draining` is set and its work has ended."""

    service: ServiceName
    settings: ZoneSettings
    instance: str
    mesh: Mesh
    liveness: Liveness
    telemetry: Telemetry
    counters: Counters
    readiness: Readiness
    draining: anyio.Event
    associations_by_ae: dict[str, int] = field(default_factory=dict)
    """Open associations for each remote AE that this process serves; the heartbeat carries them."""
    hosted: dict[str, HostedHandler] = field(default_factory=dict)
    """Handlers in this process, by the subject on which its endpoint would ask them (ADR 2)."""
    host: InstanceAddress | None = None
    """Of a handler: the endpoint whose process it shares, and which asks it by `hosted`; None: a process of its own."""
    audit: AuditRecorder | None = None
    """The audit trail; None: none is kept."""

    def ready(self) -> None:
        """Note that this service's listeners and subscriptions are in place."""
        self.readiness.ready()
