"""The ways from a client to a target that are compared. Each is started once and serves every measurement."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import dcmtk
from tests.support.encryption import encryption_of
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.orthanc import Orthanc
from tests.support.ports import reserve_port
from tests.support.process import Child, require_tool

NO_DELAY, STOCK, COUNTED, RAW = "SINK", "STOCKSINK", "COUNTED", "RAW"
"""The targets: storescp with TCP_NODELAY, in its stock environment, and one whose log is counted; a raw peer."""
SOCAT = "/usr/bin/socat"


@dataclass(slots=True)
class Targets:
    """The targets that everything ends at: AE title -> port."""

    ports: dict[str, int]
    counted: Child

    @classmethod
    def start(cls, stack: ExitStack, directory: Path) -> Targets:
        """Start every target. storescp forks for each association, so that clients don't wait for each other."""
        ports = {}
        options: list[str | int] = ["--ignore", "--fork", "-pdu", 131072]
        counted: Child | None = None
        for title, env, level in (
            (NO_DELAY, dcmtk.NO_DELAY, "-q"),
            (STOCK, {}, "-q"),
            (COUNTED, dcmtk.NO_DELAY, "-v"),
        ):
            child, ports[title] = dcmtk.storescp(
                directory / title, ae_title=title, more=options, env=env, level=level
            )
            stack.enter_context(child)
            counted = child
        assert counted is not None
        ports[RAW] = reserve_port()
        raw = Child(
            [sys.executable, "-m", "tests.bench.raw_peer", str(ports[RAW])], log=directory / "raw.log"
        )
        stack.enter_context(raw).wait_for_port(ports[RAW])
        return cls(ports, counted)

    def count(self) -> int:
        """Return how many objects the counted target has received."""
        return self.counted.output.count("Received Store Request")


def _nothing() -> None:
    return None


@dataclass(slots=True)
class WayUnderTest:
    """One way: where to connect for each target, and which processes it consists of."""

    name: str
    title: str
    entry: Mapping[str, int]
    pids: Callable[[], Mapping[str, int]] = field(default=dict)
    forwards: bool = False
    """True: the client's success comes before delivery, which is counted at the target."""
    clear: Callable[[], None] = _nothing
    """Empties what a run has left behind; not measured."""


def direct(targets: Targets) -> WayUnderTest:
    """No proxy at all."""
    return WayUnderTest("direct", "direct, no proxy", targets.ports)


RELAY_BUFFER = 65536
"""socat's own default of 8 KB makes it up to twice as slow with image data: no honest yardstick."""


def double_relay(
    stack: ExitStack, targets: Targets, directory: Path, *, buffer: int = RELAY_BUFFER
) -> WayUnderTest:
    """Two socat relays in series: the floor for anything that copies bytes twice."""
    name, title = (
        ("relay", "two socat relays") if buffer == RELAY_BUFFER else ("relay-8k", "the same, -b 8192")
    )
    entry = {}
    pids = {}
    for ae_title, port in targets.ports.items():
        destination = port
        for hop in ("far", "near"):
            listen = reserve_port()
            command = [
                *(require_tool(SOCAT), "-b", str(buffer)),
                f"TCP-LISTEN:{listen},bind=127.0.0.1,reuseaddr,fork,nodelay,backlog=64",
                f"TCP:127.0.0.1:{destination},nodelay",
            ]
            child = stack.enter_context(Child(command, log=directory / f"{name}-{ae_title}-{hop}.log"))
            child.wait_for_port(listen)
            pids[f"socat {ae_title} {hop}"] = child.pid
            destination = listen
        entry[ae_title] = destination
    return WayUnderTest(name, title, entry, lambda: pids)


def pynetdicom_relay(stack: ExitStack, targets: Targets, directory: Path) -> WayUnderTest:
    """Store and forward as one writes it with pynetdicom."""
    listen = reserve_port()
    spool = directory / "pynetdicom"
    spool.mkdir()
    command = [sys.executable, "-m", "tests.bench.pynet_relay"]
    arguments = [str(listen), str(targets.ports[COUNTED]), str(spool)]
    child = stack.enter_context(Child([*command, *arguments], log=directory / "pynetdicom.log"))
    child.wait_for_port(listen)
    return WayUnderTest(
        "pynetdicom", "pynetdicom relay", {NO_DELAY: listen}, lambda: {"relay": child.pid}, forwards=True
    )


AUTO_ROUTE = """
function OnStoredInstance(instanceId, tags, metadata)
  SendToModality(instanceId, 'sink')
end
"""


def orthanc_auto_routing(
    stack: ExitStack, sink: int, directory: Path, *, no_delay: bool = False
) -> WayUnderTest:
    """Orthanc forwarding whatever it stores, as its book teaches; in its stock environment, or TCP_NODELAY=1.

    Args:
        sink: port of the counted target.
    """
    name = "orthanc-nodelay" if no_delay else "orthanc"
    orthanc = stack.enter_context(
        Orthanc.start(
            directory / name,
            modalities={"sink": (COUNTED, sink)},
            lua=AUTO_ROUTE,
            env=dcmtk.NO_DELAY if no_delay else {},
            verbose=False,
        )
    )

    def clear() -> None:
        for patient in orthanc.get("/patients"):
            orthanc.delete(f"/patients/{patient}")

    return WayUnderTest(
        name,
        "Orthanc auto-routing" + (", TCP_NODELAY=1" if no_delay else ", as installed"),
        {NO_DELAY: orthanc.dicom_port},
        lambda: {"orthanc": orthanc.child.pid},
        forwards=True,
        clear=clear,
    )


def span_collector(stack: ExitStack, directory: Path) -> int:
    """Start what takes the meshes' spans; return its port."""
    port = reserve_port()
    command = [sys.executable, "-m", "tests.bench.collector", str(port)]
    stack.enter_context(Child(command, log=directory / "collector.log")).wait_for_port(port)
    return port


def roots(code: Path) -> list[Path]:
    """Return the folders of a checkout, or of any other folder, that hold `dimse_mesh`."""
    parts = [code / name for name in ("common", "schemas", "services")]
    return [part for part in parts if part.is_dir()] or [code]


def mesh_live(
    stack: ExitStack,
    targets: Targets,
    directory: Path,
    *,
    name: str,
    title: str,
    ratio: float,
    collector: int | None,
    hosted: bool = False,
    encrypted: bool = False,
    jetstream: bool = False,
    code: Path | None = None,
) -> WayUnderTest:
    """The mesh, live, through two zones, in the sampling ratio asked for.

    Args:
        code: another checkout, or a folder that holds `dimse_mesh`; None: what is installed.
        encrypted: data sets are encrypted from zone to zone.
        jetstream: nats-server has JetStream, as where there are durable routes, too.
        hosted: the front-end hosts the handlers; else the five services are five processes.
    """
    aes = [Ae(ae_title, port, "cloud") for ae_title, port in targets.ports.items()]
    tracing = {"observability": {"tracing_ratio": ratio, "log_level": "warning"}}
    handlers = ("store", "query_retrieve", "n_service")
    near: dict[str, int] = {"association": 1, "scu": 0}
    if not hosted:
        near |= dict.fromkeys(handlers, 1)
    far = {"association": 0, "store": 0, "query_retrieve": 0, "n_service": 0, "scu": 1}
    keys: dict[str, Any] = {"hospital": {}, "cloud": {}}
    if encrypted:
        made = encryption_of(directory, *keys)
        keys = {zone: {"encryption": section} for zone, section in made.items()}
    configs = [
        zone_config(
            "hospital",
            listener=reserve_port(),
            more={
                **tracing,
                **keys["hospital"],
                "instances": near,
                **({"association": {"hosted_handlers": list(handlers)}} if hosted else {}),
            },
        ),
        zone_config("cloud", remote_aes=aes, more={**tracing, **keys["cloud"], "instances": far}),
    ]
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector}"} if collector else {}
    if code is not None:
        env["PYTHONPATH"] = ":".join(str(root.resolve()) for root in roots(code))
    mesh = stack.enter_context(Mesh.start(directory / name, configs, env=env, jetstream=jetstream))
    listener = mesh.listeners["hospital"]
    return WayUnderTest(name, title, dict.fromkeys(targets.ports, listener), mesh.pids)
