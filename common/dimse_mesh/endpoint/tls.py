"""TLS contexts for DICOM connections (PS3.15 Annex B.9: BCP 195, TLS 1.2 or later)."""

from __future__ import annotations

import ssl

from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.settings_association import ListenerTls
from dimse_mesh.runtime.settings_scu import RemoteTls


def listener_context(settings: ListenerTls) -> ssl.SSLContext:
    """Return the context of a listener.

    Raises:
        StartError: a file can't be read or is no PEM of the expected kind.
    """
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(settings.cert, settings.key)
        if settings.ca is not None:
            context.load_verify_locations(settings.ca)
            context.verify_mode = ssl.CERT_REQUIRED if settings.require_client_cert else ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as error:
        raise StartError(_problem(error, settings.cert, settings.key, settings.ca)) from error
    return context


def remote_context(settings: RemoteTls) -> ssl.SSLContext:
    """Return the context of connections to a target.

    Raises:
        StartError: a file can't be read or is no PEM of the expected kind.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not settings.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if settings.cert is not None:
            context.load_cert_chain(settings.cert, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise StartError(_problem(error, settings.ca, settings.cert, settings.key)) from error
    return context


def _problem(error: OSError, *files: object) -> str:
    reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return f"TLS: {reason} (files: {', '.join(str(f) for f in files if f is not None)})"
