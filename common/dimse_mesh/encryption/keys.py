"""A zone's keys: its own private ones from a folder, the public ones of other zones from its settings.

A private key is a file of one line, its 32 bytes in base64, that only its owner can read:

    NAME.key    sealed with, if it is the last one by name; opened with
    NAME.next   opened with only: others don't know its public key yet

A public key is 32 bytes in base64, too: in the settings, or in a file with one on each line. Its id is the beginning of
its SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from dimse_mesh.encryption.errors import EncryptionError, UnusableKey
from dimse_mesh.encryption.noise import KEY_LENGTH

CURRENT: Final = ".key"
NEXT: Final = ".next"
_LONGEST_FILE: Final = 1024

PublicKeySource = Sequence[str] | Path
"""Public keys of a zone as text, or the file that they stand in."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A zone's public key."""

    key: X25519PublicKey

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Return the key that its text says.

        Raises:
            UnusableKey: it says none.
        """
        return cls(X25519PublicKey.from_public_bytes(_decode(text, "a public key")))

    @property
    def text(self) -> str:
        """As it stands in settings."""
        return base64.b64encode(self.key.public_bytes_raw()).decode()

    @property
    def id(self) -> str:
        """16 hexadecimal digits."""
        return hashlib.sha256(self.key.public_bytes_raw()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """One of our zone's private keys."""

    key: X25519PrivateKey
    name: str
    """Of its file."""

    @classmethod
    def read(cls, path: Path) -> PrivateKey:
        """Read a file.

        Raises:
            UnusableKey: it holds no key, or can't be read.
        """
        text = _text_of(path)
        return cls(X25519PrivateKey.from_private_bytes(_decode(text.strip(), str(path))), path.name)

    @property
    def public(self) -> PublicKey:
        """What others are told."""
        return PublicKey(self.key.public_key())

    @property
    def is_next(self) -> bool:
        """Whether nothing is sealed with it yet."""
        return self.name.endswith(NEXT)


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST_FILE).decode("ascii", "replace")
    except OSError as error:
        raise UnusableKey(f"{path}: can't be read: {error.strerror}") from error


def _decode(text: str, what: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_LENGTH:
        raise UnusableKey(
            f"{what}: not {KEY_LENGTH} bytes in base64, as dimse-mesh encryption-keys makes them"
        )
    return raw


def _names_in(folder: Path) -> list[str]:
    return sorted((path.name for path in folder.iterdir() if path.suffix in {CURRENT, NEXT}), reverse=True)


def read_folder(folder: Path) -> tuple[PrivateKey, ...]:
    """Return the keys of a folder, the last one by name first.

    Raises:
        UnusableKey: one can't be read, or holds no key.
    """
    try:
        names = _names_in(folder)
    except OSError as error:
        raise UnusableKey(f"{folder}: can't be read: {error.strerror}") from error
    return tuple(PrivateKey.read(folder / name) for name in names)


def _public_keys(source: PublicKeySource) -> tuple[PublicKey, ...]:
    """Return a zone's public keys.

    Raises:
        UnusableKey: there is none, or one is no key.
    """
    if not isinstance(source, Path):
        return tuple(map(PublicKey.parse, source))
    keys = tuple(map(PublicKey.parse, _text_of(source).split()))
    if not keys:
        raise UnusableKey(f"{source}: holds no public key")
    return keys


def key_files(folder: Path, others: Iterable[PublicKeySource]) -> list[Path]:
    """Return the files that a zone's keys stand in now; a folder that can't be read counts as one."""
    try:
        own = [folder / name for name in _names_in(folder)]
    except OSError:
        own = [folder]
    return own + [source for source in others if isinstance(source, Path)]


def write_key(path: Path) -> PrivateKey:
    """Make a key, and write it where nobody else can read it. Services that look meanwhile find all of it or nothing.

    Raises:
        UnusableKey: the file is there, or can't be written.
    """
    key = X25519PrivateKey.generate()
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(base64.b64encode(key.private_bytes_raw()) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            path.hardlink_to(unfinished)  # and not over another key
        finally:
            unfinished.unlink()
    except OSError as error:
        raise UnusableKey(f"{path}: can't be written: {error.strerror}") from error
    return PrivateKey(key, path.name)


@dataclass(frozen=True, slots=True)
class ZoneKeys:
    """All keys that a zone knows."""

    zone: str
    current: PrivateKey
    """Sealed with."""
    private: Mapping[str, PrivateKey]
    """Opened with, by id."""
    public: Mapping[str, tuple[PublicKey, ...]]
    """Of each zone, our own too; the first one is sealed to."""

    @classmethod
    def load(cls, zone: str, folder: Path, others: Mapping[str, PublicKeySource]) -> ZoneKeys:
        """Read a zone's keys.

        Args:
            folder: of its private keys.
            others: public keys of other zones.

        Raises:
            UnusableKey: there is none to seal with, or one is no key.
        """
        own = read_folder(folder)
        current = next((key for key in own if not key.is_next), None)
        if current is None:
            raise UnusableKey(f"{folder}: holds no NAME{CURRENT}; make one: dimse-mesh encryption-keys --new")
        public: dict[str, tuple[PublicKey, ...]] = {}
        for name, source in others.items():
            try:
                public[name] = _public_keys(source)
            except UnusableKey as error:
                raise UnusableKey(f"encryption.zones.{name}: {error}") from error
        public[zone] = tuple(key.public for key in (current, *(key for key in own if key is not current)))
        return cls(zone, current, {key.public.id: key for key in own}, public)

    def have(self, zone: str, *, from_key: str, to_key: str) -> bool:
        """Tell whether both keys are here that something of a zone was sealed with."""
        return to_key in self.private and any(key.id == from_key for key in self.public.get(zone, ()))

    def private_key(self, key_id: str) -> X25519PrivateKey:
        """Return the private key of an id.

        Raises:
            EncryptionError: it is none of ours.
        """
        key = self.private.get(key_id)
        if key is None:
            raise EncryptionError("encryption-key-not-ours", f"private key {key_id} is not in the folder")
        return key.key

    def public_key(self, zone: str, key_id: str) -> X25519PublicKey:
        """Return the public key of a zone.

        Raises:
            EncryptionError: that zone has told us no such key.
        """
        for key in self.public.get(zone, ()):
            if key.id == key_id:
                return key.key
        raise EncryptionError(
            "encryption-key-unknown", f"public key {key_id} of zone {zone} is not known here"
        )


class KeySource(Protocol):
    """Where a zone's keys come from, which may be others the next time."""

    def now(self) -> ZoneKeys:
        """Return the keys."""
        ...

    def again(self) -> ZoneKeys:
        """Return the keys, after a look at whether they have changed."""
        ...


def keys_to_open(source: KeySource, zone: str, *, from_key: str, to_key: str) -> ZoneKeys:
    """Return the keys for something of a zone; looked for anew if its own aren't there: they may have just come."""
    keys = source.now()
    return keys if keys.have(zone, from_key=from_key, to_key=to_key) else source.again()
