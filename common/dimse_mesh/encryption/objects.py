"""Seal the objects of durable routes for the zones that may read them, and open them there (ADR 25).

Each object has a key of its own. Its pieces are sealed with that one, each for its place; the key stands in the
manifest, sealed for each zone in a Noise K message, whose prologue holds what the manifest says of the object.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dimse_mesh.encryption.binding import bound, decode_message
from dimse_mesh.encryption.errors import EncryptionError
from dimse_mesh.encryption.keys import KeySource, ZoneKeys, keys_to_open
from dimse_mesh.encryption.noise import KEY_LENGTH, nonce, open_once, seal_once
from dimse_mesh.schemas.spool import Manifest, ObjectEncryptionHead, ObjectKey
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects

_DOMAIN: Final = "dimse-mesh object 1"
_PIECE: Final = b"piece"
_LAST: Final = b"last"


def destination_of(spool: SpoolSubjects) -> str:
    """Return a name of a destination that no other one has."""
    return f"{spool.kind.value} {spool.name}"


def _prologue(
    manifest: Manifest, command: bytes, destinations: Iterable[str], zone: str, to_zone: str
) -> bytes:
    parts: list[str | bytes] = [
        _DOMAIN,
        zone,
        to_zone,
        manifest.object_id,
        manifest.sop_class,
        manifest.sop_instance,
        manifest.transfer_syntax,
        manifest.called_ae,
        manifest.calling_ae,
        *(manifest.route or ("", "")),
        str(manifest.size),
        str(manifest.chunks),
        manifest.digest,
        command,
        *destinations,
    ]
    return bound(parts)


class ObjectSealer:
    """Seals one object.

    Args:
        zones: that may read it.
    """

    def __init__(self, keys: ZoneKeys, spools: Iterable[SpoolSubjects], zones: Iterable[str]) -> None:
        self._keys = keys
        self._destinations = tuple(map(destination_of, spools))
        self._zones = tuple(zones)
        self._key = os.urandom(KEY_LENGTH)
        self._cipher = AESGCM(self._key)

    def piece(self, number: int, data: bytes) -> bytes:
        """Return a piece, sealed; each number once."""
        return self._cipher.encrypt(nonce(number), data, _PIECE)

    def last(self, number: int, data: bytes) -> bytes:
        """Return the last piece, sealed; it may be empty."""
        return self._cipher.encrypt(nonce(number), data, _LAST)

    def head(self, manifest: Manifest, command: bytes) -> ObjectEncryptionHead:
        """Return what goes into a manifest that says everything else.

        Args:
            command: the command set beside it, encoded.
        """
        own, found = self._keys.current, {}
        for zone in self._zones:
            remote = self._keys.public[zone][0]
            prologue = _prologue(manifest, command, self._destinations, self._keys.zone, zone)
            message = seal_once(own.key, remote.key, prologue, self._key, X25519PrivateKey.generate())
            found[zone] = ObjectKey(
                from_key=own.public.id, to_key=remote.id, message=base64.b64encode(message).decode()
            )
        return ObjectEncryptionHead(destinations=self._destinations, keys=found)


class ObjectOpener:
    """Opens the pieces of one object."""

    def __init__(self, key: bytes, chunks: int) -> None:
        self._cipher = AESGCM(key)
        self._chunks = chunks

    def __call__(self, number: int, piece: bytes | memoryview) -> bytes:
        """Return what was sealed as the piece of that number; the manifest's own tail is the last one.

        Raises:
            EncryptionError: this was not.
        """
        try:
            return self._cipher.decrypt(nonce(number), piece, _LAST if number == self._chunks else _PIECE)
        except InvalidTag as error:
            raise EncryptionError("encryption-broken", f"piece {number + 1} was changed") from error


@dataclass(frozen=True, slots=True)
class ObjectEncryption:
    """What a zone's settings ask of the objects of durable routes.

    Args:
        source: of the zone's keys. What is sealed and opened takes those of the moment.
        required: whether objects of source zones are refused, of which no key is known.
    """

    source: KeySource
    required: bool

    def sealer(self, spools: Iterable[SpoolSubjects]) -> ObjectSealer:
        """Return what seals an object for the destinations of these spools, and for our own zone."""
        spools, keys = tuple(spools), self.source.now()
        zones = {keys.zone: None}
        for spool in spools:
            zones |= dict.fromkeys(_readers_of(spool, keys))
        return ObjectSealer(keys, spools, zones)

    def refusal_of(self, spool: SpoolSubjects, manifest: Manifest) -> EncryptionError | None:
        """Return why an object can't be opened here, as far as its manifest says it without being opened itself."""
        return self._refusal(spool, manifest, self._keys_for(spool, manifest))

    def opener(self, spool: SpoolSubjects, manifest: Manifest, command: bytes) -> ObjectOpener | None:
        """Return what opens an object; None: it is in the clear, and may be.

        Raises:
            EncryptionError: it may not be, or was not sealed by its source zone, for us and this destination.
        """
        keys = self._keys_for(spool, manifest)
        refusal = self._refusal(spool, manifest, keys)
        if refusal is not None:
            raise refusal
        head, source, here = manifest.encryption, spool.zone, keys.zone
        if head is None:
            return None
        sealed = head.keys[here]
        own, remote = keys.private_key(sealed.to_key), keys.public_key(source, sealed.from_key)
        prologue = _prologue(manifest, command, head.destinations, source, here)
        key = open_once(own, remote, prologue, decode_message(sealed.message))
        if len(key) != KEY_LENGTH:
            raise EncryptionError("encryption-broken")
        return ObjectOpener(key, manifest.chunks)

    def _keys_for(self, spool: SpoolSubjects, manifest: Manifest) -> ZoneKeys:
        """Return the keys as they are now; those of the manifest may have just come."""
        keys, head = self.source.now(), manifest.encryption
        sealed = None if head is None else head.keys.get(keys.zone)
        if sealed is None:
            return keys
        return keys_to_open(self.source, spool.zone, from_key=sealed.from_key, to_key=sealed.to_key)

    def _refusal(self, spool: SpoolSubjects, manifest: Manifest, keys: ZoneKeys) -> EncryptionError | None:
        head, source, here = manifest.encryption, spool.zone, keys.zone
        if head is None:
            if self.required or source in keys.public:
                return EncryptionError("encryption-required", f"an object of zone {source} is not encrypted")
            return None
        if destination_of(spool) not in head.destinations:
            return EncryptionError("encryption-broken", "it was sealed for other destinations")
        sealed = head.keys.get(here)
        if sealed is None:
            return EncryptionError(
                "encryption-key-unknown", f"zone {source} has no public key of zone {here}"
            )
        try:
            keys.private_key(sealed.to_key)
            keys.public_key(source, sealed.from_key)
        except EncryptionError as error:
            return error
        return None


def _readers_of(spool: SpoolSubjects, keys: ZoneKeys) -> Iterable[str]:
    """Return the zones of a destination: of an AE nobody knows which one has it."""
    if spool.kind is DestinationKind.AE:
        return keys.public
    return [spool.name] if spool.kind is DestinationKind.ZONE and spool.name in keys.public else []
