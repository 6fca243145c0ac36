"""A nats-server that lets each service do what its role needs, and nothing else: as `dimse-mesh nats-config` has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dimse_mesh.app.nats_config import facts_of
from dimse_mesh.mesh import NatsSettings
from dimse_mesh.nats_server.accounts import hub_accounts, leaf_accounts, one_account
from dimse_mesh.nats_server.keys import KeyFolder
from dimse_mesh.nats_server.permissions import ZoneFacts
from dimse_mesh.runtime.settings import settings_from
from dimse_mesh.schemas.addresses import Role
from tests.support.nats import NatsServer, nats_server

TEST_USER = "test"
"""User and password of a test that sees everything, or publishes anything."""


@dataclass(slots=True)
class Bus:
    """Some zones' users, and their keys below `directory`.

    Args:
        zones: what their files say.
    """

    directory: Path
    zones: Sequence[ZoneFacts]
    keys: KeyFolder = field(init=False)

    def __post_init__(self) -> None:
        self.keys = KeyFolder(self.directory / "keys")

    @classmethod
    def of(cls, directory: Path, configs: Sequence[Mapping[str, Any]]) -> Bus:
        """Take the zones from their configurations."""
        return cls(directory, [facts_of(settings_from(dict(one), source=one["zone"])) for one in configs])

    def one_server(self) -> str:
        """Return the configuration of a server for all, with a user for the test itself."""
        return _with_test_user(one_account(self.zones, self.keys.public_key))

    def hub(self, leaf_port: int) -> str:
        """Return the configuration of a hub that leaf servers join at `leaf_port`."""
        # Not advertised: else a leaf learns where the hub listens, and goes round a relay between them.
        listen = f'leafnodes {{ listen: "127.0.0.1:{leaf_port}", no_advertise: true }}\n'
        return listen + hub_accounts(self.zones, self.keys.public_key, self.keys.leaf_public_key)

    def leaf(self, zone: str, hub_port: int) -> str:
        """Return the configuration of a zone's own server, which joins the hub at `hub_port`; with a test user.

        Its directory has to be a neighbour of the bus's.
        """
        # nats-server reads an include relative to the file that it stands in.
        link = Path("..") / self.keys.leaf_file(zone).relative_to(self.directory.parent)
        remote = f'{{ url: "nats://127.0.0.1:{hub_port}", account: "{zone}", include "{link}" }}'
        accounts = _with_test_user(leaf_accounts(zone, self.zones, self.keys.public_key))
        return f'leafnodes {{ reconnect: "100ms", remotes = [ {remote} ] }}\n{accounts}'

    def access(self, zone: str, url: str) -> dict[str, Any]:
        """Return the `nats` section of a zone's file."""
        return {"servers": [url], "nkey_seed": str(self.keys.zone(zone))}

    def settings(self, zone: str, role: Role, url: str) -> NatsSettings:
        """Return how one role of a zone connects."""
        return NatsSettings(servers=[url], nkey_seed=self.keys.file(zone, role.value))


def _with_test_user(accounts: str) -> str:
    """Add a user to the first account that may do everything there."""
    everything = f'{{ user: "{TEST_USER}", password: "{TEST_USER}" }}'
    return accounts.replace("users: [", f"users: [\n{everything}", 1)


@contextmanager
def permitted_server(
    directory: Path, configs: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[NatsServer, Bus]]:
    """Run a nats-server for all of these zones."""
    bus = Bus.of(directory / "bus", configs)
    with nats_server(directory / "nats", config=bus.one_server()) as server:
        yield server, bus
