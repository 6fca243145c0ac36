"""A two-zone mesh whose spans, metrics and logs are all seen, and targets for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.samples import Sample

from dimse_mesh.schemas.service import ServiceName
from tests.fault.archive import CONTEXTS, GET_ROLES, Archive
from tests.support.exposition import exposition, samples_of
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.otlp import Collector, Span
from tests.support.permitted import permitted_server
from tests.support.ports import reserve_port, reserve_ports
from tests.support.scripted import Client, Server, ServerPeer, success
from tests.support.wire import Command, Context, Message

ZONES = ("hospital", "cloud")
SERVICES = tuple(
    service.value.replace("_", "-") for service in ServiceName if service is not ServiceName.DELIVERY
)
"""Those of live routes."""
FRONT_END, EXECUTOR = "hospital/association", "cloud/scu"
MPPS = "1.2.840.10008.3.1.2.3.3"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
N_CREATE, N_ACTION = 9, 11
"""Ids of the presentation contexts of these SOP classes in `ALL_CONTEXTS`."""
ALL_CONTEXTS = (*CONTEXTS, Context(N_CREATE, MPPS), Context(N_ACTION, STORAGE_COMMITMENT))
ARCHIVE, READ_ONLY, NOBODY, DEAD = "ARCHIVE", "READONLY", "NOBODY", "DEAD"
"""AE titles: a target; the same, for C-ECHO and C-FIND only; served by no zone; nobody listens there."""


@dataclass(slots=True)
class Observed:
    """The mesh and who watches it."""

    mesh: Mesh
    collector: Collector
    ports: Mapping[str, int]
    """`<zone>/<service>` -> port of its health and metrics."""
    target: int
    """Port of the target."""

    @property
    def entry(self) -> int:
        """Port of the hospital's listener."""
        return self.mesh.listeners["hospital"]

    def open(self, calling: str, *, called: str = ARCHIVE) -> Client:
        """Associate with a target through the mesh."""
        return Client.open(
            self.entry,
            called=called,
            calling=calling,
            contexts=ALL_CONTEXTS,
            extra=GET_ROLES,
            max_length=16384,
        )

    def exposition(self, where: str) -> str:
        """Return what a process serves at /metrics."""
        return exposition(self.ports[where])

    def samples(self, where: str) -> list[Sample]:
        """Return a process's metrics as the Prometheus client reads them."""
        return samples_of(self.exposition(where))

    def value(self, where: str, name: str, **labels: str) -> float:
        """Return the sum of the samples of that name which have these labels."""
        return sum(
            sample.value
            for sample in self.samples(where)
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def spans_of(self, calling: str, count: int) -> list[Span]:
        """Return the spans of all traces of a client (by its AE title), as soon as there are `count`."""
        spans = self.collector.wait(
            lambda spans: len(of_client(spans, calling)) >= count, f"{count} spans of {calling}"
        )
        return of_client(spans, calling)


def of_client(spans: list[Span], calling: str) -> list[Span]:
    """Return the spans of the traces that name this calling AE."""
    traces = {span.trace for span in spans if span.attributes.get("dicom.ae.calling") == calling}
    return [span for span in spans if span.trace in traces]


def operations(spans: list[Span]) -> dict[str, list[Span]]:
    """Return the spans of operations by trace, those of associations left out."""
    found: dict[str, list[Span]] = {}
    for span in spans:
        if "association" not in span.name:
            found.setdefault(span.trace, []).append(span)
    return found


class Target(Archive):
    """The archive, that answers N-* too, fails what is called bad, and reports after an N-ACTION."""

    FAILURE = 0xA700
    BAD = "1.2.3.666"
    """SOP instance UID of what it fails to store."""

    def _answer(self, peer: ServerPeer, asked: Message) -> None:
        from tests.support.wire import Tag, request, response

        if asked.field == Command.C_STORE and asked.text(Tag.AFFECTED_SOP_INSTANCE) == self.BAD:
            peer.send_message(response(asked, self.FAILURE))
        elif asked.field == Command.N_ACTION:
            peer.send_message(response(asked))
            more: dict[int, int | str | bytes] = {Tag.AFFECTED_SOP_INSTANCE: "1.2.840.10008.1.20.1.1"}
            report = request(
                Command.N_EVENT_REPORT, 1, STORAGE_COMMITMENT, data=b"", context_id=N_ACTION, more=more
            )
            peer.send_message(report)
        elif asked.field in {Command.N_CREATE, Command.N_SET, Command.N_GET, Command.N_DELETE}:
            for message in success(asked):
                peer.send_message(message)
        elif not asked.field & 0x8000:
            super()._answer(peer, asked)


@contextmanager
def observed(
    directory: Path,
    *,
    env: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
    script: Callable[[ServerPeer], None] | None = None,
) -> Iterator[Observed]:
    """Run a collector, a target and two zones; `env` is their environment, `more` their configuration."""
    target = reserve_port()
    bases = {zone: reserve_ports(len(SERVICES)) for zone in ZONES}
    ports = {
        f"{zone}/{service}": base + index
        for zone, base in bases.items()
        for index, service in enumerate(SERVICES)
    }
    configs = []
    for zone in ZONES:
        observability = {"http": {"host": "127.0.0.1", "port": bases[zone]}, "log_level": "debug"}
        cloud = zone == "cloud"
        routes = [{"called": READ_ONLY, "to": {"ae": ARCHIVE}, "allow": ["C-ECHO", "C-FIND"]}]
        configs.append(
            zone_config(
                zone,
                listener=reserve_port(),
                remote_aes=[Ae(ARCHIVE, target, zone), Ae(DEAD, reserve_port(), zone)] if cloud else (),
                routes=() if cloud else routes,
                more={"observability": observability, **(more or {})},
            )
        )
    with (
        Collector() as collector,
        Server(script or Target(), port=target, timeout=120.0),
        permitted_server(directory, configs) as (nats, bus),
    ):
        configs = [{**config, "nats": bus.access(config["zone"], nats.url)} for config in configs]
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            **(env or {}),
        }
        with Mesh.start(directory, configs, env=environment, nats_port=nats.port) as mesh:
            yield Observed(mesh, collector, ports, target)
