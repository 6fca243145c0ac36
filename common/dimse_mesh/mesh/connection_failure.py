"""Why a connection to NATS could not be made, in words for people and in a code for logs."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from nats import errors as nats_errors

from dimse_mesh.mesh.reader import MalformedStream

_TLS_VERIFY = {  # OpenSSL's X509_V_ERR_*
    10: ("certificate-expired", "the server's certificate has expired"),
    18: ("unknown-ca", "the server's certificate is self-signed and not trusted"),
    19: ("unknown-ca", "the server's certificate comes from an unknown CA"),
    20: ("unknown-ca", "the server's certificate comes from an unknown CA"),
    62: ("wrong-name", "the server's certificate is for another host name"),
    64: ("wrong-name", "the server's certificate is for another address"),
}


@dataclass(frozen=True, slots=True)
class ConnectionFailure:
    """`retryable`: trying again in a moment may help."""

    code: str
    text: str
    retryable: bool = True


def redact(server: str) -> str:
    """Return a server's URL without user, password or token."""
    parts = urlsplit(server)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def failure_of(error: BaseException) -> ConnectionFailure:
    """Say why `error` happened; the text holds nothing that came from the peer but known words."""
    while (inner := error.__cause__ or getattr(error, "os_error", None)) is not None:
        error = inner
    match error:
        case ssl.SSLCertVerificationError():
            code, text = _TLS_VERIFY.get(
                error.verify_code, ("tls", f"the server's certificate is refused ({error.verify_message})")
            )
            return ConnectionFailure(code, text, retryable=False)
        case ssl.SSLError():
            return ConnectionFailure("tls", f"TLS failed ({error.reason or 'handshake'})", retryable=False)
        case socket.gaierror():
            return ConnectionFailure("unknown-host", "the host name is unknown")
        case ConnectionRefusedError():
            return ConnectionFailure("refused", "connection refused (is nats-server running there?)")
        case OSError() if "Errno 111" in str(error):  # asyncio's "Multiple exceptions" for localhost
            return ConnectionFailure("refused", "connection refused (is nats-server running there?)")
        case TimeoutError():
            return ConnectionFailure("timed-out", "timed out")
        case FileNotFoundError() | PermissionError() if error.filename is not None:
            return ConnectionFailure("file", f"can't read {error.filename}", retryable=False)
        case ConnectionError() | nats_errors.UnexpectedEOF():
            return ConnectionFailure("closed", "the server closed the connection")
        case FileNotFoundError() | PermissionError():
            return ConnectionFailure(
                "file", "a file of credentials or certificates can't be read", retryable=False
            )
        case MalformedStream() | nats_errors.ProtocolError():
            return ConnectionFailure("protocol", "the server sent what is not the NATS protocol")
        case nats_errors.StaleConnectionError():
            return ConnectionFailure("stale", "the server does not answer pings")
        case nats_errors.ConnectionClosedError():
            return ConnectionFailure("closed", "the connection is closed")
        case nats_errors.Error():
            return _of_server(str(error).lower())
        case _:
            return ConnectionFailure("failed", type(error).__name__)


def _of_server(text: str) -> ConnectionFailure:
    if "authorization violation" in text or "authentication" in text:
        return ConnectionFailure(
            "authorization", "authorization violation (wrong token, user, password or key)", retryable=False
        )
    if "does not offer tls" in text:
        return ConnectionFailure("tls", "the server does not offer TLS", retryable=False)
    if "maximum connections exceeded" in text:
        return ConnectionFailure("full", "the server takes no more connections")
    if "expecting info" in text:
        return ConnectionFailure(
            "closed", "it is not a NATS server, or it closed the connection (or wants TLS first)"
        )
    return ConnectionFailure("refused-by-server", "the server refused the connection")
