"""The two zones that peers meet through, with the AE titles, ports and certificates for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import trustme

from tests.interop.peers.model import Certificates
from tests.support.certificates import write_pair
from tests.support.mesh import Mesh, zone_config
from tests.support.ports import reserve_port


class Way(StrEnum):
    """How a client reaches its target."""

    DIRECT = "direct"
    MESH = "mesh"


@dataclass(frozen=True, slots=True)
class Place:
    """Who is where: a target in the cloud, and a viewer in the hospital that a C-MOVE sends to.

    Args:
        plain, secured: the target's AE title, without and with TLS; both on `port`.
    """

    port: int
    viewer_port: int
    plain: str = "PLAIN"
    secured: str = "SECURED"

    def viewer(self, way: Way) -> str:
        """Return the viewer's AE title for a target that is to send to it this way."""
        return "NEAR" if way is Way.DIRECT else "FAR"


@dataclass(frozen=True, slots=True)
class Site:
    """The running zones."""

    mesh: Mesh
    place: Place
    listeners: Mapping[bool, int]
    """The hospital's, with TLS or without."""
    certificates: Certificates

    def entry(self, way: Way, *, tls: bool) -> int:
        """Return the port that a client connects to."""
        return self.place.port if way is Way.DIRECT else self.listeners[tls]

    def destinations(self) -> dict[str, int]:
        """Return where a target sends to for each AE title of the viewer."""
        return {
            self.place.viewer(Way.DIRECT): self.place.viewer_port,
            self.place.viewer(Way.MESH): self.mesh.listeners["cloud"],
        }


def _certificates(directory: Path) -> Certificates:
    directory.mkdir()
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    files = Certificates(directory / "ca.pem", directory / "own.crt", directory / "own.key")
    authority.cert_pem.write_to_path(files.ca)
    write_pair(issued, files.cert, files.key)
    return files


@contextmanager
def running_site(directory: Path) -> Iterator[Site]:
    """Start the two zones."""
    certificates = _certificates(directory / "certificates")
    own = {"cert": str(certificates.cert), "key": str(certificates.key)}
    place = Place(reserve_port(), reserve_port())
    listeners = {tls: reserve_port() for tls in (False, True)}

    def remote(title: str, port: int, **more: Any) -> dict[str, Any]:
        return {"ae_title": title, "host": "127.0.0.1", "port": port, **more}

    hospital = zone_config(
        "hospital",
        remote_aes=[remote(place.viewer(Way.MESH), place.viewer_port)],
        more={
            "association": {
                "listeners": [
                    {"host": "127.0.0.1", "port": listeners[False]},
                    {"host": "127.0.0.1", "port": listeners[True], "tls": own},
                ]
            }
        },
    )
    cloud = zone_config(
        "cloud",
        listener=reserve_port(),
        remote_aes=[
            remote(place.plain, place.port),
            remote(place.secured, place.port, tls={"ca": str(certificates.ca)}),
        ],
    )
    with Mesh.start(directory / "mesh", [hospital, cloud]) as mesh:
        yield Site(mesh, place, listeners, certificates)
