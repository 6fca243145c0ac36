"""The handshakes against published vectors, and against changes.

`noise_vectors.json` holds the vectors of KK and K with X25519, AES-GCM and SHA-256 that two other implementations
publish: cacophony (Haskell) and snow (Rust), as in snow's repository.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("noise_vectors.json").read_text())


def vectors(pattern: str) -> list[Any]:
    """Return the published vectors of a pattern, each with the name of who has published it."""
    return [
        pytest.param(vector, id=vector["published_by"])
        for vector in VECTORS
        if vector["protocol_name"] == f"Noise_{pattern}_25519_AESGCM_SHA256"
    ]


def key_of(vector: dict[str, Any], name: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(vector[name]))


def messages_of(vector: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """Return payload and what is sent of each message."""
    return [(bytes.fromhex(one["payload"]), bytes.fromhex(one["ciphertext"])) for one in vector["messages"]]


@pytest.mark.parametrize("vector", vectors("KK"))
def test_kk_is_as_published(vector: dict[str, Any]) -> None:
    initiator, responder = key_of(vector, "init_static"), key_of(vector, "resp_static")
    prologue = bytes.fromhex(vector["init_prologue"])
    (hello, first), (answer, second), *transport = messages_of(vector)
    initiated, sent = initiate(
        initiator, responder.public_key(), prologue, key_of(vector, "init_ephemeral"), hello
    )
    assert sent == first
    responding = respond(responder, initiator.public_key(), prologue, first)
    assert responding.payload == hello
    keys, sent = responding.finish(answer, key_of(vector, "resp_ephemeral"))
    assert sent == second
    assert initiated.finish(second) == (keys, answer)
    assert transport
    for number, (payload, ciphertext) in enumerate(transport):
        key = keys.from_responder if number % 2 else keys.from_initiator
        assert AESGCM(key).encrypt(nonce(number // 2), payload, b"") == ciphertext


@pytest.mark.parametrize("vector", vectors("K"))
def test_k_is_as_published(vector: dict[str, Any]) -> None:
    initiator, responder = key_of(vector, "init_static"), key_of(vector, "resp_static")
    prologue, (payload, sent) = bytes.fromhex(vector["init_prologue"]), messages_of(vector)[0]
    ephemeral = key_of(vector, "init_ephemeral")
    assert seal_once(initiator, responder.public_key(), prologue, payload, ephemeral) == sent
    assert open_once(responder, initiator.public_key(), prologue, sent) == payload


def test_kk_agrees_with_a_third_implementation() -> None:
    """noiseprotocol 0.3.1 (Python) has made these."""
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


def test_k_agrees_with_a_third_implementation() -> None:
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
