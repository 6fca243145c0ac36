"""Associations from the mesh itself: a front-end without a listener, and its client, in this process.

So the commands take the very path that a hospital system's association takes, but for its connection and PDUs.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Self

import anyio
from anyio.abc import TaskStatus

from dimse_mesh.app.local_keys import guest_zone, with_local_keys
from dimse_mesh.app.secrets_in_arguments import refuse_secrets_in
from dimse_mesh.association.admitted import Lead
from dimse_mesh.association.front_end import FrontEnd
from dimse_mesh.client import DicomClient, InProcessLine, Proposal
from dimse_mesh.endpoint.process import open_router
from dimse_mesh.handling import serve_operations
from dimse_mesh.mesh import Mesh
from dimse_mesh.mesh.connection import open_mesh
from dimse_mesh.mesh.liveness import open_liveness
from dimse_mesh.policy import ConfiguredPolicy
from dimse_mesh.runtime.context import Readiness, ServiceContext
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.runtime.logging import configure_logging
from dimse_mesh.runtime.secrecy import keep_secrets
from dimse_mesh.runtime.settings import ZoneSettings, load_settings, settings_from
from dimse_mesh.runtime.settings_errors import ConfigurationError
from dimse_mesh.runtime.settings_fields import ae_title
from dimse_mesh.runtime.supervised import new_instance
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.service import HANDLERS, ServiceName


@dataclass(frozen=True, slots=True)
class WayIn:
    """Where NATS is and who we are there.

    With a zone's file its handlers, and so its policy, see the operations; its routes' destinations don't matter,
    since the AE is named. With nothing but a URL this process is a zone of its own, with handlers of its own.
    """

    settings: ZoneSettings
    calling_ae: str
    own_zone: bool

    @classmethod
    def of(
        cls,
        config: Path | None,
        nats: str | None,
        subject_root: str,
        calling_ae: str,
        *,
        named: Mapping[str, str] = MappingProxyType({}),
    ) -> Self:
        """Build it from the command line's options.

        Args:
            named: other AE titles of the command line, by argument or option.

        Raises:
            ConfigurationError: neither a file nor a URL, or an unusable one, or a title can be none.
        """
        wrong = list(_wrong_titles({"--calling": calling_ae, **named}))
        if wrong:
            raise ConfigurationError(wrong)
        if nats is not None:
            refuse_secrets_in(nats, "--nats")
        if config is not None:
            settings = load_settings(config)
            if nats is not None:
                settings = settings_from(
                    settings.model_dump(exclude={"nats"}) | {"nats": {"servers": [nats]}}, source="--nats"
                )
        elif nats is not None:
            settings = settings_from(
                {"zone": f"cli-{new_instance()}", "subject_root": subject_root, "nats": {"servers": [nats]}},
                source="--nats",
            )
            settings = settings.model_copy(update={"zone": guest_zone(settings.nats) or settings.zone})
        else:
            raise ConfigurationError(["give --config FILE, or --nats URL: where the mesh is"])
        reached = with_local_keys(settings.nats, settings.zone)
        settings = settings.model_copy(update={"nats": reached, "routes": ()})
        keep_secrets(allow_debuggers=settings.observability.allow_debuggers)
        configure_logging(
            settings.observability.model_copy(update={"log_level": "error"}), {"service": "command-line"}
        )
        return cls(settings, calling_ae, own_zone=config is None)


def _wrong_titles(titles: Mapping[str, str]) -> Iterator[str]:
    for argument, title in titles.items():
        try:
            ae_title(title)
        except ValueError as error:
            yield f"{argument} {title!r}: {error}"


class Door:
    """Where associations are opened; lives as long as `open_door`'s block."""

    def __init__(self, way: WayIn, front_end: FrontEnd, mesh: Mesh) -> None:
        self.mesh = mesh
        self._way = way
        self._front_end = front_end

    @asynccontextmanager
    async def association(self, called_ae: str, proposals: Sequence[Proposal]) -> AsyncIterator[DicomClient]:
        """Open an association with the AE of that title, wherever it is; release it at the end.

        Raises:
            AssociationError: it can't be had.
        """
        client = DicomClient(InProcessLine(self._front_end.in_process(Lead.LIVE)))
        try:
            await client.associate(called_ae=called_ae, calling_ae=self._way.calling_ae, proposals=proposals)
            yield client
            with anyio.CancelScope(shield=True):
                await client.release()
        finally:
            client.close()


async def _handle(context: ServiceContext, service: ServiceName, *, task_status: TaskStatus[None]) -> None:
    """Be a handler of our own zone, on connections of its own: it has its own address."""
    settings = context.settings
    async with open_mesh(
        settings.nats,
        root=settings.subject_root,
        address=InstanceAddress(settings.zone, Role(service.value), context.instance),
        first_connect_timeout=settings.mesh.first_connect_timeout,
    ) as mesh:
        readiness = Readiness(task_status.started)
        await serve_operations(replace(context, service=service, mesh=mesh, readiness=readiness))


@asynccontextmanager
async def open_door(way: WayIn) -> AsyncIterator[Door]:
    """Join the mesh for the length of the block.

    Raises:
        MeshUnavailable: no connection to NATS. Possibly within a group.
    """
    settings, instance = way.settings, new_instance()
    counters = Counters()
    telemetry = Telemetry.from_settings(
        settings.observability.model_copy(update={"http": None}),
        service=ServiceName.ASSOCIATION,
        zone=settings.zone,
        instance=instance,
        counters=counters,
        environ=os.environ,
    )
    try:
        async with (
            open_mesh(
                settings.nats,
                root=settings.subject_root,
                address=InstanceAddress(settings.zone, Role.COMMAND, instance),
                first_connect_timeout=settings.mesh.first_connect_timeout,
            ) as mesh,
            open_liveness(mesh, settings=settings.liveness) as liveness,
            anyio.create_task_group() as tasks,
        ):
            context = ServiceContext(
                service=ServiceName.ASSOCIATION,
                settings=settings,
                instance=instance,
                mesh=mesh,
                liveness=liveness,
                telemetry=telemetry,
                counters=counters,
                readiness=Readiness(lambda: None),
                draining=anyio.Event(),
            )
            if way.own_zone:
                for service in HANDLERS:
                    await tasks.start(_handle, context, service)
            async with open_router(
                context,
                operation_timeout=settings.association.operation_timeout,
                peer=settings.association.model_copy(update={"idle_timeout": 0.0}),
            ) as router:
                policy = ConfiguredPolicy.of(settings)
                yield Door(way, FrontEnd(context, router, tasks, policy), mesh)
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await telemetry.stop()
