"""A mesh of two zones whose cloud has places among its AEs; clients of the hospital store into them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.durable.site import STORE, message_of
from tests.support.files import DicomFile, take_apart
from tests.support.mesh import Mesh, zone_config
from tests.support.ports import reserve_port
from tests.support.scripted import Client
from tests.support.wire import VERIFICATION, Context


@dataclass(frozen=True, slots=True)
class Stores:
    """The running mesh."""

    mesh: Mesh

    @property
    def entry(self) -> int:
        """Port of the hospital's listener."""
        return self.mesh.listeners["hospital"]

    def open(self, called: str, *contents: DicomFile, timeout: float = 60.0) -> Client:
        """Associate to store objects of the kind of `contents`."""
        context = contents[0]
        return Client.open(
            self.entry,
            called=called,
            calling="CT1",
            contexts=(
                Context(STORE, context.sop_class, (context.transfer_syntax,)),
                Context(3, VERIFICATION),
            ),
            timeout=timeout,
        )

    def store(self, called: str, *contents: DicomFile) -> list[int]:
        """Store objects on an association each; return their statuses."""
        statuses = []
        for content in contents:
            with self.open(called, content) as client:
                statuses.append(client.exchange(message_of(content)).status)
                client.release()
        return statuses


@contextmanager
def stores(
    directory: Path,
    places: Mapping[str, Mapping[str, Any]],
    *,
    routes: Sequence[Mapping[str, Any]] = (),
    remote_aes: Sequence[Mapping[str, Any]] = (),
    env: Mapping[str, str] | None = None,
    instances: Mapping[str, int] | None = None,
) -> Iterator[Stores]:
    """Start the two zones; `places` are the settings of `storage` by AE title, `instances` the cloud's."""
    quick = {"retry": {"first": 0.2, "longest": 1.0}, "look_interval": 0.5}
    configs = [
        zone_config("hospital", listener=reserve_port(), routes=routes),
        zone_config(
            "cloud",
            listener=reserve_port(),
            remote_aes=[
                *({"ae_title": title, "storage": dict(place)} for title, place in places.items()),
                *remote_aes,
            ],
            more={"delivery": quick, "instances": dict(instances or {})},
        ),
    ]
    with Mesh.start(directory, configs, env=env) as mesh:
        yield Stores(mesh)


def files_in(folder: Path) -> dict[str, DicomFile]:
    """Return the objects of a folder by path, but for those that are not whole."""
    return {
        str(path.relative_to(folder)): take_apart(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".incoming" not in path.parts
    }


def unfinished_in(folder: Path) -> list[Path]:
    """Return what was begun there, and not ended."""
    return list((folder / ".incoming").glob("*"))
