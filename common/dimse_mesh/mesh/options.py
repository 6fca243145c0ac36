"""Settings turned into nats-py's connect options. Files are read at every connect: they may rotate."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from dimse_mesh.mesh.settings import NatsSettings, NatsTls


def connect_options(settings: NatsSettings, *, name: str, tls: bool) -> dict[str, Any]:
    """Return keyword arguments of nats-py's `connect`.

    Raises:
        OSError, ssl.SSLError: a file that can't be read or used.
    """
    tls_settings = settings.tls or NatsTls()
    _check_readable(settings.credentials, settings.nkey_seed)
    _check_readable(tls_settings.ca, tls_settings.cert, tls_settings.key)
    options: dict[str, Any] = {
        "name": name,
        "connect_timeout": settings.connect_timeout,
        "ping_interval": settings.ping_interval,
        "max_outstanding_pings": settings.max_outstanding_pings,
        "drain_timeout": settings.drain_timeout,
    }
    if settings.token is not None:
        options["token"] = settings.token.get_secret_value()
    elif settings.token_file is not None:
        options["token"] = settings.token_file.read_text().strip()
    elif settings.user is not None and settings.password is not None:
        options["user"] = settings.user
        options["password"] = settings.password.get_secret_value()
    elif settings.credentials is not None:
        options["user_credentials"] = str(settings.credentials)
    elif settings.nkey_seed is not None:
        options["nkeys_seed"] = str(settings.nkey_seed)
    if tls:
        options["tls"] = _context(tls_settings)
        options["tls_handshake_first"] = tls_settings.handshake_first
        if tls_settings.server_name:
            options["tls_hostname"] = tls_settings.server_name
    return options


def _check_readable(*files: Path | None) -> None:
    """Raise an OSError that names the file; those of ssl and nkeys don't."""
    for file in files:
        if file is not None:
            file.open("rb").close()


def _context(tls: NatsTls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert is not None and tls.key is not None:
        context.load_cert_chain(str(tls.cert), str(tls.key))
    return context
