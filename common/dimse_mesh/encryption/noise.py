"""The two Noise handshakes in use (revision 34 of the Noise protocol framework), X25519, AES-256-GCM, SHA-256.

Both parties know each other's static public key beforehand.

    KK   -> e, es, ss     an association: a request and a reply. Both have proved who they are, and keys that leak
         <- e, ee, se     later don't open what was said (forward secrecy)
    K    -> e, es, ss     an object that is kept: one message. The sender has proved who it is; whoever gets the
                          recipient's private key reads it
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dimse_mesh.encryption.errors import EncryptionError

KEY_LENGTH: Final = 32
_KK: Final = b"Noise_KK_25519_AESGCM_SHA256"
_K: Final = b"Noise_K_25519_AESGCM_SHA256"


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Return Noise's HKDF with two outputs, which is RFC 5869 without `info`."""
    derived = HKDF(SHA256(), 2 * KEY_LENGTH, salt=chaining_key, info=b"").derive(material)
    return derived[:KEY_LENGTH], derived[KEY_LENGTH:]


def _shared(private: X25519PrivateKey, public: X25519PublicKey) -> bytes:
    """Return the Diffie-Hellman secret.

    Raises:
        EncryptionError: the public key is one of the few that make none.
    """
    try:
        return private.exchange(public)
    except ValueError as error:
        raise EncryptionError("encryption-broken") from error


def nonce(number: int) -> bytes:
    """Return Noise's nonce for AES-GCM."""
    return b"\0\0\0\0" + number.to_bytes(8, "big")


@dataclass(frozen=True, slots=True)
class _Symmetric:
    """Noise's SymmetricState; each step returns the next one, so that one message may be answered more than once."""

    digest: bytes
    chaining_key: bytes
    key: bytes = b""
    number: int = 0

    @classmethod
    def begin(
        cls, name: bytes, prologue: bytes, initiator: X25519PublicKey, responder: X25519PublicKey
    ) -> _Symmetric:
        digest = name.ljust(KEY_LENGTH, b"\0")
        state = cls(digest, digest).mix_hash(prologue)
        return state.mix_hash(initiator.public_bytes_raw()).mix_hash(responder.public_bytes_raw())

    def mix_hash(self, data: bytes) -> _Symmetric:
        return replace(self, digest=hashlib.sha256(self.digest + data).digest())

    def mix_key(self, private: X25519PrivateKey, public: X25519PublicKey) -> _Symmetric:
        chaining_key, key = _hkdf(self.chaining_key, _shared(private, public))
        return replace(self, chaining_key=chaining_key, key=key, number=0)

    def encrypt(self, payload: bytes) -> tuple[_Symmetric, bytes]:
        sealed = AESGCM(self.key).encrypt(nonce(self.number), payload, self.digest)
        return replace(self.mix_hash(sealed), number=self.number + 1), sealed

    def decrypt(self, sealed: bytes) -> tuple[_Symmetric, bytes]:
        try:
            payload = AESGCM(self.key).decrypt(nonce(self.number), sealed, self.digest)
        except InvalidTag as error:
            raise EncryptionError("encryption-broken") from error
        return replace(self.mix_hash(sealed), number=self.number + 1), payload


class TransportKeys(NamedTuple):
    """What a KK handshake makes: a key for each direction."""

    from_initiator: bytes
    from_responder: bytes


def _ephemeral_in(message: bytes) -> X25519PublicKey:
    if len(message) < KEY_LENGTH:
        raise EncryptionError("encryption-broken")
    return X25519PublicKey.from_public_bytes(message[:KEY_LENGTH])


@dataclass(frozen=True, slots=True)
class Initiated:
    """An initiator that awaits its reply."""

    _state: _Symmetric
    _own: X25519PrivateKey
    _ephemeral: X25519PrivateKey

    def finish(self, reply: bytes) -> tuple[TransportKeys, bytes]:
        """Return the keys, and the payload of the responder's message.

        Raises:
            EncryptionError: it is not the responder's answer to ours.
        """
        theirs = _ephemeral_in(reply)
        state = self._state.mix_hash(reply[:KEY_LENGTH])
        state = state.mix_key(self._ephemeral, theirs).mix_key(self._own, theirs)
        state, payload = state.decrypt(reply[KEY_LENGTH:])
        return TransportKeys(*_hkdf(state.chaining_key, b"")), payload


def initiate(
    own: X25519PrivateKey,
    remote: X25519PublicKey,
    prologue: bytes,
    ephemeral: X25519PrivateKey,
    payload: bytes = b"",
) -> tuple[Initiated, bytes]:
    """Begin a KK handshake; return who awaits the reply, and the message.

    Args:
        prologue: what both parties must agree on.
        ephemeral: a new one; it may serve several handshakes that begin at once.
    """
    state = _Symmetric.begin(_KK, prologue, own.public_key(), remote)
    state, message = _first(state, own, remote, ephemeral, payload)
    return Initiated(state, own, ephemeral), message


@dataclass(frozen=True, slots=True)
class Responding:
    """A responder that has read the initiator's message, and knows that it is the initiator's."""

    _state: _Symmetric
    _initiator: X25519PublicKey
    _theirs: X25519PublicKey
    payload: bytes
    """What the initiator's message has carried."""

    def finish(self, payload: bytes, ephemeral: X25519PrivateKey) -> tuple[TransportKeys, bytes]:
        """Return the keys, and the message that carries `payload`; at most once for each `ephemeral`."""
        public = ephemeral.public_key().public_bytes_raw()
        state = self._state.mix_hash(public)
        state = state.mix_key(ephemeral, self._theirs).mix_key(ephemeral, self._initiator)
        state, sealed = state.encrypt(payload)
        return TransportKeys(*_hkdf(state.chaining_key, b"")), public + sealed


def respond(own: X25519PrivateKey, remote: X25519PublicKey, prologue: bytes, message: bytes) -> Responding:
    """Read the first message of a KK handshake.

    Raises:
        EncryptionError: it is not the initiator's, not for us, or the prologues differ.
    """
    state = _Symmetric.begin(_KK, prologue, remote, own.public_key())
    state, payload = _read_first(state, own, remote, message)
    return Responding(state, remote, _ephemeral_in(message), payload)


def seal_once(
    own: X25519PrivateKey,
    remote: X25519PublicKey,
    prologue: bytes,
    payload: bytes,
    ephemeral: X25519PrivateKey,
) -> bytes:
    """Return the one message of a K handshake, which carries `payload`."""
    state = _Symmetric.begin(_K, prologue, own.public_key(), remote)
    return _first(state, own, remote, ephemeral, payload)[1]


def open_once(own: X25519PrivateKey, remote: X25519PublicKey, prologue: bytes, message: bytes) -> bytes:
    """Return what `seal_once` was given.

    Raises:
        EncryptionError: it is not the sender's, not for us, or the prologues differ.
    """
    state = _Symmetric.begin(_K, prologue, remote, own.public_key())
    return _read_first(state, own, remote, message)[1]


def _first(
    state: _Symmetric,
    own: X25519PrivateKey,
    remote: X25519PublicKey,
    ephemeral: X25519PrivateKey,
    payload: bytes,
) -> tuple[_Symmetric, bytes]:
    """Write `-> e, es, ss`."""
    public = ephemeral.public_key().public_bytes_raw()
    state = state.mix_hash(public).mix_key(ephemeral, remote).mix_key(own, remote)
    state, sealed = state.encrypt(payload)
    return state, public + sealed


def _read_first(
    state: _Symmetric, own: X25519PrivateKey, remote: X25519PublicKey, message: bytes
) -> tuple[_Symmetric, bytes]:
    """Read `-> e, es, ss`."""
    theirs = _ephemeral_in(message)
    state = state.mix_hash(message[:KEY_LENGTH]).mix_key(own, theirs).mix_key(own, remote)
    return state.decrypt(message[KEY_LENGTH:])
