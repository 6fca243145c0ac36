"""When our own certificates expire: those of listeners, those shown to targets, and the one shown to NATS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.schemas.service import ServiceName

_UTC_TIME: Final = 0x17
_VERSION: Final = 0xA0
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


def expiries(settings: ZoneSettings, service: ServiceName) -> list[tuple[str, float]]:
    """Return whom a certificate is shown to (`listener`, `target`, `nats`) and when the first of them expires.

    Files are read now, since they may have been renewed. What can't be read isn't counted; whoever needs it says so.
    """
    first: dict[str, float] = {}
    for side, path in _own_certificates(settings, service):
        at = expiry_of(path)
        if at is not None:
            first[side] = min(at, first.get(side, at))
    return sorted(first.items())


def expiry_of(path: Path) -> float | None:
    """Return when the first certificate of a PEM file expires, in seconds since the epoch; None: there is none."""
    try:
        _, begin, rest = path.read_text("ascii", "replace").partition(_BEGIN)
        return _not_after(ssl.PEM_cert_to_DER_cert(f"{begin}{rest.partition(_END)[0]}{_END}"))
    except (OSError, ValueError, IndexError):
        return None


def _own_certificates(settings: ZoneSettings, service: ServiceName) -> Iterator[tuple[str, Path]]:
    if service is ServiceName.ASSOCIATION:
        for listener in settings.association.listeners:
            if listener.tls is not None:
                yield "listener", listener.tls.cert
    if service in {ServiceName.SCU, ServiceName.DELIVERY}:
        for remote in settings.scu.remote_aes:
            if remote.tls is not None and remote.tls.cert is not None:
                yield "target", remote.tls.cert
    if settings.nats.tls is not None and settings.nats.tls.cert is not None:
        yield "nats", settings.nats.tls.cert


def _not_after(certificate: bytes) -> float:
    """Return `tbsCertificate.validity.notAfter` (RFC 5280 §4.1.2.5).

    Raises:
        ValueError, IndexError: it is no certificate.
    """
    at, _ = _content(certificate, 0)  # Certificate
    at, _ = _content(certificate, at)  # tbsCertificate
    skipped = 4 if certificate[at] == _VERSION else 3  # version, serialNumber, signature, issuer
    for _ in range(skipped):
        start, length = _content(certificate, at)
        at = start + length
    at, _ = _content(certificate, at)  # validity
    start, length = _content(certificate, at)  # notBefore
    tag = certificate[start + length]
    start, length = _content(certificate, start + length)
    text = certificate[start : start + length].decode("ascii")
    if tag == _UTC_TIME:
        text = f"{'19' if int(text[:2]) >= 50 else '20'}{text}"
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _content(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the DER element at `at` begins, and its length."""
    length = data[at + 1]
    if length < 0x80:
        return at + 2, length
    octets = length & 0x7F
    return at + 2 + octets, int.from_bytes(data[at + 2 : at + 2 + octets], "big")
