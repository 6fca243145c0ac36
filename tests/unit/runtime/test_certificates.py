"""When a certificate expires is read from its file, each time, and by side the first one counts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from dimse_mesh.runtime.certificates import expiries, expiry_of
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.runtime.metrics import Metrics
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.schemas.service import ServiceName

YEARS = [2027, 2049, 2051]
"""Of UTCTime and, since 2050, of GeneralizedTime."""


def write(directory: Path, name: str, *, year: int, kind: trustme.KeyType = trustme.KeyType.ECDSA) -> Path:
    """Write a certificate chain that expires in a year; return its file."""
    at = datetime(year, 5, 6, 7, 8, 9, tzinfo=UTC)
    issued = trustme.CA().issue_cert("localhost", not_after=at, key_type=kind)
    path = directory / name
    path.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    return path


@pytest.mark.parametrize("year", YEARS)
@pytest.mark.parametrize("kind", trustme.KeyType)
def test_expiry_is_what_the_certificate_says(tmp_path: Path, year: int, kind: trustme.KeyType) -> None:
    at = expiry_of(write(tmp_path, "cert.pem", year=year, kind=kind))
    assert at == datetime(year, 5, 6, 7, 8, 9, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nMA==\n-----END", b"\xff"]
)
def test_what_is_no_certificate_has_no_expiry(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cert.pem").write_bytes(content)
    assert expiry_of(tmp_path / "cert.pem") is None
    assert expiry_of(tmp_path / "missing.pem") is None


def test_each_service_tells_of_its_own_certificates_and_of_the_first_to_expire(tmp_path: Path) -> None:
    early, late = write(tmp_path, "early", year=2030), write(tmp_path, "late", year=2040)
    listeners = [{"port": port, "tls": {"cert": cert, "key": cert}} for port, cert in ((1, late), (2, early))]
    remote = {"ae_title": "PACS", "host": "pacs", "port": 104, "tls": {"cert": late, "key": late}}
    settings = ZoneSettings.model_validate(
        {
            "zone": "hospital",
            "association": {"listeners": listeners},
            "scu": {"remote_aes": [remote]},
            "nats": {"servers": ["tls://nats"], "tls": {"cert": late, "key": late}},
        }
    )
    first, last = expiry_of(early), expiry_of(late)
    assert expiries(settings, ServiceName.ASSOCIATION) == [("listener", first), ("nats", last)]
    assert expiries(settings, ServiceName.SCU) == [("nats", last), ("target", last)]
    assert expiries(settings, ServiceName.STORE) == [("nats", last)]
    write(tmp_path, "early", year=2045)
    assert expiries(settings, ServiceName.ASSOCIATION) == [("listener", last), ("nats", last)]


def test_it_is_a_metric() -> None:
    from opentelemetry.sdk.resources import Resource

    metrics = Metrics(Counters(certificates=lambda: [("nats", 5e8)]), Resource({}))
    try:
        text = metrics.exposition()[1].decode()
    finally:
        metrics.shutdown()
    assert 'dimse_mesh_certificate_expiry_seconds{side="nats"} 5e+08' in text
