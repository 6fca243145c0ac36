"""nkeys of the bus's users: the public key stands in nats-server's configuration, the seed in a file of its own.

    FOLDER/<zone>/<user>.nk        mode 600, in folders of mode 700; `nats.nkey_seed: FOLDER/<zone>` finds it
    FOLDER/<zone>/leaf.conf        the seed of a leaf link: nats-server takes that in its configuration alone

A seed that is there is kept, so that a zone's services go on when another zone is added.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import nkeys

from dimse_mesh.mesh.errors import MeshError
from dimse_mesh.mesh.settings import SEED_SUFFIX
from dimse_mesh.schemas.tokens import encode_token


class KeyFileError(MeshError):
    """A seed's file can't be read or written."""

    code = "key-file"


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """Where the seeds of some zones' users are kept."""

    path: Path

    def zone(self, zone: str) -> Path:
        """Return the folder of a zone's seeds."""
        return self.path / encode_token(zone)

    def file(self, zone: str, user: str) -> Path:
        """Return the file of one user's seed."""
        return self.zone(zone) / f"{user}{SEED_SUFFIX}"

    def public_key(self, zone: str, user: str) -> str:
        """Return the public key of a user's seed, which is made if there is none.

        Raises:
            KeyFileError: it can't be read or written, or is no seed.
        """
        return self._keep(self.file(zone, user), b"")

    def leaf_file(self, zone: str) -> Path:
        """Return the file that the configuration of a zone's own server includes, to join the hub."""
        return self.zone(zone) / "leaf.conf"

    def leaf_public_key(self, zone: str) -> str:
        """Return the public key of a zone's leaf link, whose seed is made if there is none.

        Raises:
            KeyFileError: it can't be read or written, or is no seed.
        """
        return self._keep(self.leaf_file(zone), b"nkey: ")

    def _keep(self, file: Path, prefix: bytes) -> str:
        try:
            for folder in (self.path, file.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not file.exists():
                _write(file, prefix + nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER))
            seed = bytearray(file.read_bytes().strip().removeprefix(prefix))
        except OSError as error:
            raise KeyFileError(f"can't keep keys in {file}: {error.strerror}") from error
        try:
            public: bytes = nkeys.from_seed(seed).public_key
        except (nkeys.NkeysError, ValueError) as error:
            raise KeyFileError(f"{file} holds no nkey seed") from error
        return public.decode()


def _write(file: Path, content: bytes) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
