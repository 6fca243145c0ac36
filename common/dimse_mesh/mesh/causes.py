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
class Cause:
    """`retryable`: trying again in a moment may help."""

    code: str
    text: str
    retryable: bool = True


def redact(server: str) -> str:
    """Return a server's URL without user, password or token."""
    parts = urlsplit(server)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def cause_of(error: BaseException) -> Cause:
    """Say why `error` happened; the text holds nothing that came from the peer but known words."""
    while (inner := error.__cause__ or getattr(error, "os_error", None)) is not None:
        error = inner
    match error:
        case ssl.SSLCertVerificationError():
            code, text = _TLS_VERIFY.get(
                error.verify_code, ("tls", f"the server's certificate is refused ({error.verify_message})")
            )
            return Cause(code, text, retryable=False)
        case ssl.SSLError():
            return Cause("tls", f"TLS failed ({error.reason or 'handshake'})", retryable=False)
        case socket.gaierror():
            return Cause("unknown-host", "the host name is unknown")
        case ConnectionRefusedError():
            return Cause("refused", "connection refused (is nats-server running there?)")
        case OSError() if "Errno 111" in str(error):  # asyncio's "Multiple exceptions" for localhost
            return Cause("refused", "connection refused (is nats-server running there?)")
        case TimeoutError():
            return Cause("timed-out", "timed out")
        case FileNotFoundError() | PermissionError() if error.filename is not None:
            return Cause("file", f"can't read {error.filename}", retryable=False)
        case ConnectionError() | nats_errors.UnexpectedEOF():
            return Cause("closed", "the server closed the connection")
        case FileNotFoundError() | PermissionError():
            return Cause("file", "a file of credentials or certificates can't be read", retryable=False)
        case MalformedStream() | nats_errors.ProtocolError():
            return Cause("protocol", "the server sent what is not the NATS protocol")
        case nats_errors.StaleConnectionError():
            return Cause("stale", "the server does not answer pings")
        case nats_errors.ConnectionClosedError():
            return Cause("closed", "the connection is closed")
        case nats_errors.Error():
            return _of_server(str(error).lower())
        case _:
            return Cause("failed", type(error).__name__)


def _of_server(text: str) -> Cause:
    if "authorization violation" in text or "authentication" in text:
        return Cause(
            "authorization", "authorization violation (wrong token, user, password or key)", retryable=False
        )
    if "does not offer tls" in text:
        return Cause("tls", "the server does not offer TLS", retryable=False)
    if "maximum connections exceeded" in text:
        return Cause("full", "the server takes no more connections")
    if "expecting info" in text:
        return Cause("closed", "it is not a NATS server, or it closed the connection (or wants TLS first)")
    return Cause("refused-by-server", "the server refused the connection")
