"""Keys for the nats-server that `dimse-mesh up` starts: new ones at each start, readable by the same user alone.

They lie where that user's commands find them by the server's port, so that `dimse-mesh echo AET --nats URL` works
beside a running `up`, and for nobody else on the machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from dimse_mesh.app.nats_config import facts_of
from dimse_mesh.mesh.settings import NatsSettings
from dimse_mesh.nats_server.accounts import Guest, one_account
from dimse_mesh.nats_server.keys import KeyFolder
from dimse_mesh.nats_server.permissions import ZoneFacts
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.schemas.addresses import Role

GUEST_ZONE = "cli"
"""The zone of commands that are given no zone's file."""
GUEST_ROLES = (Role.COMMAND, Role.STORE, Role.QUERY_RETRIEVE, Role.N_SERVICE)
_LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))


@contextmanager
def local_keys(
    port: int, zones: Sequence[ZoneSettings], *, jetstream: bool
) -> Iterator[tuple[KeyFolder, str]]:
    """Make keys for the server at `port`; yield them with its accounts. They are removed at the end of the block.

    Args:
        jetstream: whether the server keeps streams.

    Raises:
        StartError: there is no place where only we can read them.
        KeyFileError: they can't be written.
    """
    path = _own_folder() / str(port)
    shutil.rmtree(path, ignore_errors=True)  # of one that was killed
    keys = KeyFolder(path)
    facts = [facts_of(zone) for zone in zones]
    guests = [Guest(ZoneFacts(root, GUEST_ZONE), GUEST_ROLES) for root in sorted({one.root for one in facts})]
    if any(zone.zone == GUEST_ZONE for zone in zones):
        guests = []
    try:
        yield keys, one_account(facts, keys.public_key, guests, jetstream=jetstream)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def with_local_keys(nats: NatsSettings, zone: str) -> NatsSettings:
    """Return settings that use the keys of a zone for a server of our own `up`, if they say nothing of credentials."""
    keys = _keys_for(nats)
    if keys is None or not keys.zone(zone).is_dir():
        return nats
    return nats.model_copy(update={"nkey_seed": keys.zone(zone)})


def guest_zone(nats: NatsSettings) -> str | None:
    """Return the zone of a command that is given no zone's file; None: the server is not of our own `up`."""
    keys = _keys_for(nats)
    return GUEST_ZONE if keys is not None and keys.zone(GUEST_ZONE).is_dir() else None


def _keys_for(nats: NatsSettings) -> KeyFolder | None:
    given = (nats.token, nats.token_file, nats.user, nats.credentials, nats.nkey_seed)
    servers = [urlsplit(server) for server in nats.servers]
    if len(servers) != 1 or any(way is not None for way in given):
        return None
    (server,) = servers
    if server.hostname not in _LOOPBACK or server.username is not None:
        return None
    try:
        return KeyFolder(_own_folder() / str(server.port or 4222))
    except StartError:
        return None


def _own_folder() -> Path:
    """Return the folder that holds the keys, made so that nobody else can read or replace them."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    parent = Path(runtime) if runtime and Path(runtime).is_dir() else Path("/tmp")
    path = parent / f"dimse-mesh-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        state = path.lstat()
    except OSError as error:
        raise StartError(f"can't keep the keys of the nats-server in {path}: {error.strerror}") from error
    if path.is_symlink() or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise StartError(f"{path} is not ours alone: remove it, keys of the nats-server are kept there")
    return path
