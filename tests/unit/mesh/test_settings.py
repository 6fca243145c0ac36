"""How NATS may be configured, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dimse_mesh.mesh import NatsSettings
from dimse_mesh.mesh.connection_failure import redact


def test_the_default_is_the_local_server() -> None:
    assert NatsSettings().servers == ["nats://127.0.0.1:4222"]


@pytest.mark.parametrize(
    "settings",
    [
        {"servers": []},
        {"servers": ["http://127.0.0.1:4222"]},
        {"servers": ["nats://"]},
        {"servers": ["nats://a:4222", "ws://b:80"]},
        {"token": "t", "token_file": "f"},
        {"token": "t", "user": "u", "password": "p"},
        {"user": "u"},
        {"password": "p"},
        {"tls": {"cert": "c"}},
        {"unknown": 1},
        {"servers": ["tls://host:99999"]},
        {"servers": ["tls://host:port"]},
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NatsSettings(**settings)


def test_secrets_are_not_shown() -> None:
    settings = NatsSettings.model_validate({"token": "s3cret"})
    assert "s3cret" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        ("nats://user:secret@host:4222", "nats://host:4222"),
        ("tls://token@host:4222", "tls://host:4222"),
        ("wss://host/path?token=secret", "wss://host/path"),
        ("nats://[::1]:4222", "nats://[::1]:4222"),
    ],
)
def test_a_servers_url_is_shown_without_credentials(server: str, shown: str) -> None:
    assert redact(server) == shown


@pytest.mark.parametrize(
    "settings",
    [
        {"servers": ["nats://nats.example.org:4222"]},
        {"servers": ["nats://192.0.2.1:4222"]},
        {"servers": ["nats://0.0.0.0:4222"]},
        {"servers": ["nats://localhost.example.org:4222"]},
        {"servers": ["nats://127.0.0.1:4222", "nats://nats.example.org:4222"]},
        {"servers": ["ws://nats.example.org:80"]},
        {"servers": ["ws://nats.example.org:80"], "tls": {"handshake_first": True}},
    ],
    ids=str,
)
def test_what_is_not_encrypted_beyond_this_machine_must_be_allowed(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"not encrypted.*nats\.allow_plaintext"):
        NatsSettings(**settings)
    assert NatsSettings(**settings, allow_plaintext=True).plaintext_hosts


@pytest.mark.parametrize(
    "settings",
    [
        {"servers": ["nats://localhost:4222"]},
        {"servers": ["nats://[::1]:4222", "nats://127.0.0.2"]},
        {"servers": ["tls://nats.example.org:4222"]},
        {"servers": ["wss://nats.example.org"]},
        {"servers": ["nats://nats.example.org:4222"], "tls": {"handshake_first": True}},
    ],
    ids=str,
)
def test_what_is_encrypted_or_stays_on_this_machine_needs_no_permission(settings: dict[str, Any]) -> None:
    assert NatsSettings(**settings).plaintext_hosts == []
