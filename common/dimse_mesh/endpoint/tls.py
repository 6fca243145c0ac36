"""TLS contexts for DICOM connections, after the profiles of PS3.15 Annex B.

Cipher suites are named here, since OpenSSL's own choice depends on how Python was built.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.reloaded import Reloaded
from dimse_mesh.runtime.settings_association import ListenerTls
from dimse_mesh.runtime.settings_fields import TlsProfile
from dimse_mesh.runtime.settings_scu import RemoteTls

_BCP_195 = "ECDHE+AESGCM"
"""RFC 9325 §4.2: ECDHE with AES in GCM, 128 and 256 bits, RSA and ECDSA. TLS 1.3 has suites of its own."""
_CIPHERS: Final = {
    TlsProfile.BCP_195: _BCP_195,
    TlsProfile.BCP_195_MODIFIED: f"{_BCP_195}:ECDHE+CHACHA20:ECDHE+AESCCM",
    # What modalities have that were made before 2016: no forward secrecy, CBC.
    TlsProfile.LEGACY: f"{_BCP_195}:ECDHE+AES:AESGCM:AES128-SHA256:AES256-SHA256:AES128-SHA:AES256-SHA"
    ":@SECLEVEL=0",
}


TlsContext: TypeAlias = Reloaded[ssl.SSLContext]
"""The context of a listener or a target, made anew when one of its files has changed."""


def listener_context(settings: ListenerTls) -> TlsContext:
    """Return the context of a listener.

    Raises:
        StartError: a file can't be read or is no PEM of the expected kind.
    """
    files = (settings.cert, settings.key, settings.ca)

    def build() -> ssl.SSLContext:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            _restrict(context, settings.profile)
            context.load_cert_chain(settings.cert, settings.key)
            if settings.ca is not None:
                context.load_verify_locations(settings.ca)
                context.verify_mode = ssl.CERT_REQUIRED if settings.require_client_cert else ssl.CERT_OPTIONAL
        except (OSError, ssl.SSLError) as error:
            raise StartError(_problem(error, *files)) from error
        return context

    return _reloaded(build, *files)


def remote_context(settings: RemoteTls) -> TlsContext:
    """Return the context of connections to a target.

    Raises:
        StartError: a file can't be read or is no PEM of the expected kind.
    """
    files = (settings.ca, settings.cert, settings.key)

    def build() -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=settings.ca)
            _restrict(context, settings.profile)
            if not settings.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if settings.cert is not None:
                context.load_cert_chain(settings.cert, settings.key)
        except (OSError, ssl.SSLError) as error:
            raise StartError(_problem(error, *files)) from error
        return context

    return _reloaded(build, *files)


def _reloaded(build: Callable[[], ssl.SSLContext], *files: Path | None) -> TlsContext:
    named = [file for file in files if file is not None]
    return Reloaded(build, lambda: named, what="TLS")


def _restrict(context: ssl.SSLContext, profile: TlsProfile) -> None:
    """Allow what the profile has, and nothing else."""
    legacy = profile is TlsProfile.LEGACY
    context.minimum_version = ssl.TLSVersion.TLSv1 if legacy else ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS[profile])
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _problem(error: OSError, *files: object) -> str:
    reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return f"TLS: {reason} (files: {', '.join(str(f) for f in files if f is not None)})"
