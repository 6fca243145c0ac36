"""TLS handshakes that fail, on either side: counted, and told in a line that names peer, port and cure."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from dimse_mesh.mesh.quiet import Quiet
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.runtime.logging import EventLog
from dimse_mesh.runtime.origin import origin_of

log = EventLog("dimse_mesh.endpoint")

QUIET_SECONDS = 60.0
"""Between two lines about the same mistake of the same peer."""
MAX_REMEMBERED = 1000
"""Mistakes that are remembered, so that they are not told again."""


class TlsSide(StrEnum):
    """Where TLS failed."""

    LISTENER = "listener"
    TARGET = "target"


class TlsTrouble(StrEnum):
    """Why TLS failed."""

    PLAIN_PEER = "plain-peer"
    TLS_PEER = "tls-peer"
    NO_CERTIFICATE = "no-certificate"
    UNKNOWN_AUTHORITY = "unknown-authority"
    EXPIRED = "expired-certificate"
    WRONG_NAME = "wrong-name"
    BAD_CERTIFICATE = "bad-certificate"
    OURS_REFUSED = "own-certificate-refused"
    VERSION = "no-common-version"
    CIPHER = "no-common-cipher"
    CLOSED = "closed-in-handshake"
    TIMED_OUT = "handshake-timeout"
    OTHER = "handshake-failed"


_BY_REASON: Final[Mapping[str, TlsTrouble]] = {
    "WRONG_VERSION_NUMBER": TlsTrouble.PLAIN_PEER,
    "HTTP_REQUEST": TlsTrouble.PLAIN_PEER,
    "HTTPS_PROXY_REQUEST": TlsTrouble.PLAIN_PEER,
    "PACKET_LENGTH_TOO_LONG": TlsTrouble.PLAIN_PEER,
    "RECORD_LAYER_FAILURE": TlsTrouble.PLAIN_PEER,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": TlsTrouble.NO_CERTIFICATE,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": TlsTrouble.NO_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": TlsTrouble.OURS_REFUSED,
    "SSLV3_ALERT_BAD_CERTIFICATE": TlsTrouble.OURS_REFUSED,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": TlsTrouble.OURS_REFUSED,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": TlsTrouble.OURS_REFUSED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": TlsTrouble.OURS_REFUSED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": TlsTrouble.OURS_REFUSED,
    "TLSV1_ALERT_DECRYPT_ERROR": TlsTrouble.OURS_REFUSED,
    "UNSUPPORTED_PROTOCOL": TlsTrouble.VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": TlsTrouble.VERSION,
    "VERSION_TOO_LOW": TlsTrouble.VERSION,
    "NO_SHARED_CIPHER": TlsTrouble.CIPHER,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": TlsTrouble.CIPHER,
    "UNEXPECTED_EOF_WHILE_READING": TlsTrouble.CLOSED,
}
_EXPIRED: Final = frozenset((9, 10))  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_UNKNOWN: Final = frozenset(
    (2, 18, 19, 20, 21)
)  # no issuer, self-signed, no chain to an authority that we know
_OTHER_NAME: Final = frozenset((62, 64))  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH

_CURES: Final[Mapping[TlsSide, Mapping[TlsTrouble, str]]] = {
    TlsSide.LISTENER: {
        TlsTrouble.PLAIN_PEER: "the peer speaks no TLS: turn TLS on there, or send it to a listener without tls",
        TlsTrouble.TLS_PEER: "the peer speaks TLS, and this listener has no tls: turn TLS off there, or give the "
        "listener a certificate (tls.cert, tls.key)",
        TlsTrouble.NO_CERTIFICATE: "the peer shows no certificate, and the listener requires one: give the peer one of "
        "an authority in tls.ca",
        TlsTrouble.UNKNOWN_AUTHORITY: "nobody in the listener's tls.ca has signed the peer's certificate: add its "
        "authority there, or give the peer another certificate",
        TlsTrouble.EXPIRED: "the peer's certificate is out of date: renew it, or set the clock right",
        TlsTrouble.BAD_CERTIFICATE: "the peer's certificate is refused: give it another one",
        TlsTrouble.OURS_REFUSED: "the peer refuses the listener's certificate: let it trust the authority of tls.cert, "
        "or renew that certificate",
        TlsTrouble.VERSION: "the peer offers no version of TLS that the listener speaks (1.2, 1.3): update it",
        TlsTrouble.CIPHER: "the peer offers no cipher suite that the listener takes: update it",
        TlsTrouble.CLOSED: "the peer closed in the middle of the handshake: its log should say why; perhaps it does "
        "not trust the listener's certificate",
        TlsTrouble.TIMED_OUT: "the peer did not finish the handshake in time: see whether it speaks TLS",
        TlsTrouble.OTHER: "the handshake failed: see the peer's log",
    },
    TlsSide.TARGET: {
        TlsTrouble.PLAIN_PEER: "the target speaks no TLS: turn TLS on there, or remove tls from the remote AE",
        TlsTrouble.TLS_PEER: "the target speaks TLS, and the remote AE has no tls: add it, or turn TLS off there",
        TlsTrouble.NO_CERTIFICATE: "the target requires a certificate of ours: set tls.cert and tls.key of the "
        "remote AE",
        TlsTrouble.UNKNOWN_AUTHORITY: "nobody in tls.ca of the remote AE has signed the target's certificate: add its "
        "authority there",
        TlsTrouble.EXPIRED: "the target's certificate is out of date: renew it, or set the clock right",
        TlsTrouble.WRONG_NAME: "the target's certificate is not valid for the name that we call it by: set "
        "tls.server_name of the remote AE to the name in it",
        TlsTrouble.BAD_CERTIFICATE: "the target's certificate is refused: give it another one",
        TlsTrouble.OURS_REFUSED: "the target refuses our certificate: let it trust the authority of the remote AE's "
        "tls.cert, or renew that certificate",
        TlsTrouble.VERSION: "the target speaks no version of TLS that we do (1.2, 1.3): update it",
        TlsTrouble.CIPHER: "the target takes no cipher suite of ours, or requires a certificate of ours: set tls.cert "
        "and tls.key of the remote AE, or update the target",
        TlsTrouble.CLOSED: "the target closed in the middle of the handshake: see whether it speaks TLS there; its log "
        "should say why",
        TlsTrouble.TIMED_OUT: "the target did not finish the handshake in time: see whether it speaks TLS there",
        TlsTrouble.OTHER: "the handshake failed: see the target's log",
    },
}


def trouble_of(error: BaseException) -> TlsTrouble:
    """Tell what an error in, or soon after, a handshake means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code in _EXPIRED:
            return TlsTrouble.EXPIRED
        if code in _UNKNOWN:
            return TlsTrouble.UNKNOWN_AUTHORITY
        return TlsTrouble.WRONG_NAME if code in _OTHER_NAME else TlsTrouble.BAD_CERTIFICATE
    if isinstance(error, ssl.SSLEOFError):
        return TlsTrouble.CLOSED
    if isinstance(error, ssl.SSLError):
        return _BY_REASON.get(getattr(error, "reason", None) or "", TlsTrouble.OTHER)
    if isinstance(
        error, TimeoutError | ConnectionAbortedError
    ):  # by us: asyncio's own deadline is the latter
        return TlsTrouble.TIMED_OUT
    return TlsTrouble.CLOSED if isinstance(error, ConnectionError) else TlsTrouble.OTHER


def cure(side: TlsSide, trouble: TlsTrouble) -> str:
    """Return what is wrong and what helps."""
    return _CURES[side].get(trouble, _CURES[side][TlsTrouble.OTHER])


def words_of(error: BaseException | None) -> str:
    """Return OpenSSL's own words; a name in them comes from our settings, not from the peer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or "").lower().replace("_", " ") if isinstance(error, ssl.SSLError) else ""


class TlsTroubles:
    """Counts what goes wrong with TLS on one side, and tells it once in a while.

    Args:
        counters: of this process.
        side: listeners or targets.
        clock: seconds.
    """

    def __init__(
        self, counters: Counters, side: TlsSide, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._counters = counters
        self._side = side
        self._quiet = Quiet(interval=QUIET_SECONDS, most=MAX_REMEMBERED, clock=clock)
        counters.expect_tls_troubles(side, TlsTrouble)

    def note(
        self, peer: str, port: int, trouble: TlsTrouble, error: BaseException | None = None, **more: str
    ) -> None:
        """Count a mistake; say it, unless that was done within the last minute.

        Args:
            peer: the peer's address.
            port: the one that was connected to, ours or the target's.
            trouble: what went wrong.
            error: what the TLS library says of it.
            more: names for the line, such as the target's AE title.
        """
        self._counters.tls_trouble(self._side, trouble)
        untold = self._quiet.untold((origin_of(peer), port, trouble))
        if untold is None:
            return
        fields: dict[str, str | int] = {"code": trouble.value, "cure": cure(self._side, trouble)}
        if said := words_of(error):
            fields["openssl"] = said
        if untold:
            fields["untold"] = untold
        log.warning("no TLS", **more, peer=peer, port=port, **fields)
