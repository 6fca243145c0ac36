"""A hospital whose route is durable, a cloud with the destination, and what the destination got."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.files import DicomFile
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.nats import NatsServer
from tests.support.ports import reserve_port
from tests.support.process import wait_until
from tests.support.scripted import Client, Server, ServerPeer
from tests.support.wire import (
    CT_STORAGE,
    EXPLICIT_LE,
    IMPLICIT_LE,
    VERIFICATION,
    Command,
    Context,
    Message,
    Tag,
    response,
    store_rq,
)

ARCHIVE = "ARCHIVE"
STORE, ECHO = 1, 3
CONTEXTS = (Context(STORE, CT_STORAGE, (EXPLICIT_LE,)), Context(ECHO, VERIFICATION, (IMPLICIT_LE,)))
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Arrived:
    """An object as a destination got it."""

    instance: str
    data: bytes
    called: str
    calling: str


@dataclass(slots=True)
class Inbox:
    """A destination's objects, in the order in which they came whole."""

    status: int = 0
    """What it answers."""
    objects: list[Arrived] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def script(self, peer: ServerPeer) -> None:
        """Serve one association: accept everything, keep every object."""
        asked = peer.accept_association()

        def answer(message: Message) -> Iterator[Message]:
            is_store = message.field == Command.C_STORE
            yield response(message, status=self.status if is_store else 0)
            if is_store:  # kept when it is answered: who waits for it may stop the destination then
                self.keep(message, asked.called, asked.calling)

        peer.serve(answer)

    def keep(self, message: Message, called: bytes, calling: bytes) -> None:
        """Keep one object."""
        assert message.data is not None
        arrived = Arrived(
            message.text(Tag.AFFECTED_SOP_INSTANCE),
            message.data,
            called.decode().strip(),
            calling.decode().strip(),
        )
        with self.changed:
            self.objects.append(arrived)
            self.changed.notify_all()

    def wait_for(self, count: int, *, timeout: float = PATIENCE) -> list[Arrived]:
        """Return the objects once there are `count`."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.objects) >= count, timeout):
                raise AssertionError(f"{len(self.objects)} of {count} objects after {timeout:g} s")
            return list(self.objects)

    @property
    def instances(self) -> list[str]:
        """SOP instance UIDs in the order of arrival."""
        with self.changed:
            return [arrived.instance for arrived in self.objects]


@dataclass(slots=True)
class Site:
    """The running mesh, and the port where the destination is expected."""

    mesh: Mesh
    port: int

    @property
    def hospital(self) -> Path:
        """The hospital's file, with the nats-server that it uses: what an operator's commands are given."""
        path = self.mesh.directory / "operator.yaml"
        config = yaml.safe_load((self.mesh.directory / "hospital.yaml").read_text())
        config["nats"] = {"servers": [f"nats://127.0.0.1:{self.mesh.nats_port}"]}
        path.write_text(yaml.safe_dump(config))
        return path

    @property
    def entry(self) -> int:
        """Port of the hospital's listener."""
        return self.mesh.listeners["hospital"]

    def open(
        self, *, calling: str = "CT1", called: str = ARCHIVE, contexts: Sequence[Context] = CONTEXTS
    ) -> Client:
        """Associate as a modality."""
        return Client.open(self.entry, called=called, calling=calling, contexts=contexts, timeout=60)

    @contextmanager
    def destination(self, inbox: Inbox) -> Iterator[Server]:
        """Run the destination for the length of the block."""
        with self.destination_of(inbox.script) as server:
            yield server

    @contextmanager
    def destination_of(self, script: Callable[[ServerPeer], None]) -> Iterator[Server]:
        """Run a destination that does as its script says."""
        with served(self.port, script) as server:
            yield server

    @staticmethod
    def wait_until(condition: Callable[[], bool], what: str) -> None:
        """Wait for something that may take a while on a busy machine."""
        wait_until(condition, what, timeout=60)

    def kill(self, name: str) -> None:
        """Kill a process of the mesh, `cloud/delivery` for example, and return when another one stands."""
        wait_until(lambda: name in self.mesh.pids(), f"{name} is there to be killed", timeout=60)
        before = self.mesh.pids()[name]
        os.kill(before, signal.SIGKILL)
        wait_until(
            lambda: self.mesh.pids().get(name, before) != before, f"{name} is started again", timeout=60
        )


@contextmanager
def served(port: int, script: Callable[[ServerPeer], None]) -> Iterator[Server]:
    """Run a destination on a port; what it is in the middle of when it stops is of no interest."""
    server = Server(script, port=port)
    try:
        yield server
    finally:
        server.stop(check=False)


def store(client: Client, content: DicomFile, message_id: int = 1, *, context_id: int = STORE) -> int:
    """Store an object; return the status."""
    return client.exchange(message_of(content, message_id, context_id=context_id)).status


def message_of(content: DicomFile, message_id: int = 1, *, context_id: int = STORE) -> Message:
    """Return an object's C-STORE-RQ."""
    return store_rq(
        message_id, content.sop_instance, content.data, sop_class=content.sop_class, context_id=context_id
    )


@contextmanager
def site(
    directory: Path,
    *,
    route: Mapping[str, Any] | None = None,
    remote: Mapping[str, Any] | None = None,
    hospital: Mapping[str, Any] | None = None,
    cloud: Mapping[str, Any] | None = None,
    more_aes: Sequence[Ae | Mapping[str, Any]] = (),
    more_routes: Sequence[Mapping[str, Any]] = (),
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    nats: NatsServer | None = None,
    data_dir: bool = True,
) -> Iterator[Site]:
    """Start the two zones; everything that the hospital gets is for ARCHIVE, durable.

    What an earlier site has kept in the same directory is there again; `port` is then the destination's. `nats` is
    used instead of a nats-server of the mesh's own; without `data_dir` nobody says where that keeps its data.
    """
    servers = {} if nats is None else {"nats": {"servers": [nats.url]}}
    port = port or reserve_port()
    ae = {"ae_title": ARCHIVE, "host": "127.0.0.1", "port": port, **(remote or {})}
    routes = [*more_routes, {"to": {"ae": ARCHIVE}, "delivery": "durable", **(route or {})}]
    quick = {"retry": {"first": 0.2, "longest": 1.0}, "look_interval": 0.5}
    configs = [
        zone_config(
            "hospital",
            listener=reserve_port(),
            routes=routes,
            more={"spool": {"max_bytes": 1 << 30}, **servers, **(hospital or {})},
        ),
        zone_config(
            "cloud", remote_aes=[ae, *more_aes], more={"delivery": quick, **servers, **(cloud or {})}
        ),
    ]
    nats_port = None if nats is None else nats.port
    with Mesh.start(directory, configs, env=env, nats_port=nats_port, jetstream=data_dir) as mesh:
        yield Site(mesh, port)
