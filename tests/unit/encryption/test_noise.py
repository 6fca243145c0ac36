"""The handshakes against vectors that another implementation has made (noiseprotocol 0.3.1), and against changes."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dimse_mesh.encryption import EncryptionError
from dimse_mesh.encryption.noise import initiate, nonce, open_once, respond, seal_once

PROLOGUE = b"prologue"
KK_1 = "883186b800b41d5cf0429695da9b3cc4f328ebcd184a6e482fa578c103f06c77c87c8dc7d510c77efd61a89a80325183"
KK_2 = (
    "3a553d74792d727efa9b9a4cde3da1ad93f1a2d0c09cb639b1a3c0fda14cbe24"
    "ed950e4d56597e9b99a7f472aeefdc978bf24f40d8"
)
K_1 = (
    "883186b800b41d5cf0429695da9b3cc4f328ebcd184a6e482fa578c103f06c77"
    "a43a8ccb77a54e97d6d785b89f7b5d06f69f225b3cfcf5dbc6c646"
)


def private(first: int) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(bytes(range(first, first + 32)))


INITIATOR, RESPONDER, EPHEMERAL_I, EPHEMERAL_R = map(private, (1, 65, 129, 193))


def test_kk_agrees_with_another_implementation() -> None:
    initiated, first = initiate(INITIATOR, RESPONDER.public_key(), PROLOGUE, EPHEMERAL_I)
    assert first.hex() == KK_1
    responding = respond(RESPONDER, INITIATOR.public_key(), PROLOGUE, first)
    keys, second = responding.finish(b"bound", EPHEMERAL_R)
    assert second.hex() == KK_2
    assert initiated.finish(second) == (keys, b"bound")
    sealed = AESGCM(keys.from_initiator).encrypt(nonce(0), b"first", b"")
    assert sealed.hex() == "35ff562d70ff9a97e378c79c080a8bf3904b101cf8"
    sealed = AESGCM(keys.from_responder).encrypt(nonce(0), b"back", b"")
    assert sealed.hex() == "bab53fdae9d5bfe650d34de40a871b713975da9d"


def test_k_agrees_with_another_implementation() -> None:
    message = seal_once(INITIATOR, RESPONDER.public_key(), PROLOGUE, b"content key", EPHEMERAL_I)
    assert message.hex() == K_1
    assert open_once(RESPONDER, INITIATOR.public_key(), PROLOGUE, message) == b"content key"


@pytest.mark.parametrize("at", range(len(KK_1) // 2))
def test_no_byte_of_the_first_message_can_be_changed(at: int) -> None:
    message = bytearray.fromhex(KK_1)
    message[at] ^= 1
    with pytest.raises(EncryptionError):
        respond(RESPONDER, INITIATOR.public_key(), PROLOGUE, bytes(message))


@pytest.mark.parametrize("at", range(len(KK_2) // 2))
def test_no_byte_of_the_second_message_can_be_changed(at: int) -> None:
    initiated, _ = initiate(INITIATOR, RESPONDER.public_key(), PROLOGUE, EPHEMERAL_I)
    message = bytearray.fromhex(KK_2)
    message[at] ^= 0x10
    with pytest.raises(EncryptionError):
        initiated.finish(bytes(message))


@pytest.mark.parametrize("message", [b"", b"short", bytes(32), bytes(48), b"\1" + bytes(47)])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    initiated, _ = initiate(INITIATOR, RESPONDER.public_key(), PROLOGUE, EPHEMERAL_I)
    with pytest.raises(EncryptionError):
        respond(RESPONDER, INITIATOR.public_key(), PROLOGUE, message)
    with pytest.raises(EncryptionError):
        initiated.finish(message)
    with pytest.raises(EncryptionError):
        open_once(RESPONDER, INITIATOR.public_key(), PROLOGUE, message)


def test_who_has_no_private_key_of_the_sender_can_seal_nothing_in_its_name() -> None:
    stranger = X25519PrivateKey.generate()
    _, first = initiate(stranger, RESPONDER.public_key(), PROLOGUE, EPHEMERAL_I)
    with pytest.raises(EncryptionError):
        respond(RESPONDER, INITIATOR.public_key(), PROLOGUE, first)
    message = seal_once(stranger, RESPONDER.public_key(), PROLOGUE, b"key", EPHEMERAL_I)
    with pytest.raises(EncryptionError):
        open_once(RESPONDER, INITIATOR.public_key(), PROLOGUE, message)


def test_both_sides_must_agree_on_the_prologue() -> None:
    _, first = initiate(INITIATOR, RESPONDER.public_key(), PROLOGUE, EPHEMERAL_I)
    with pytest.raises(EncryptionError):
        respond(RESPONDER, INITIATOR.public_key(), b"another", first)


def test_an_old_reply_answers_no_new_request() -> None:
    initiated, _ = initiate(INITIATOR, RESPONDER.public_key(), PROLOGUE, X25519PrivateKey.generate())
    with pytest.raises(EncryptionError):
        initiated.finish(bytes.fromhex(KK_2))
