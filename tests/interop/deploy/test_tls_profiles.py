"""Versions and cipher suites that a listener takes, by OpenSSL's own client; certificates renewed while it runs."""

from __future__ import annotations

import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.certificates import write_pair
from tests.support.mesh import Mesh, zone_config
from tests.support.ports import reserve_port
from tests.support.process import require_tool, wait_until

OPENSSL = "/usr/bin/openssl"
PROFILES = ("bcp-195", "bcp-195-modified", "legacy")
GCM = ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384")
MORE_GCM = ("ECDHE-RSA-CHACHA20-POLY1305",)
WEAK = ("ECDHE-RSA-AES128-SHA", "AES128-GCM-SHA256", "AES128-SHA", "AES256-SHA")
FORBIDDEN = (
    "DHE-RSA-AES128-SHA",
    "NULL-SHA256",
    "AECDH-AES128-SHA",
    "PSK-AES128-CBC-SHA",
    "CAMELLIA128-SHA",
    "ARIA128-GCM-SHA256",
)


class Certificate:
    """A listener's files, and how they are renewed."""

    def __init__(self, directory: Path) -> None:
        self._ca = trustme.CA(key_type=trustme.KeyType.RSA)
        self.cert, self.key = directory / "tls.crt", directory / "tls.key"
        self.renew()

    def renew(self) -> bytes:
        """Write another certificate with another key; return it."""
        issued = self._ca.issue_cert("localhost", key_type=trustme.KeyType.RSA)
        write_pair(issued, self.cert, self.key)
        return issued.cert_chain_pems[0].bytes()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[dict[str, int]]:
    """A mesh with a listener for each profile; their ports."""
    ports = {profile: reserve_port() for profile in PROFILES}
    files = {"cert": str(certificate.cert), "key": str(certificate.key)}
    listeners = [
        {"host": "127.0.0.1", "port": port, "tls": {**files, "profile": profile}}
        for profile, port in ports.items()
    ]
    config = zone_config("hospital", more={"association": {"listeners": listeners}})
    with Mesh.start(tmp_path_factory.mktemp("profiles"), [config]) as mesh:
        assert f"port {ports['legacy']} speaks legacy TLS" in mesh.log.read_text()
        yield ports


def negotiated(port: int, *options: str) -> tuple[str, str] | None:
    """Return version and cipher suite that OpenSSL's client gets with these options; None: nothing."""
    result = subprocess.run(
        [require_tool(OPENSSL), "s_client", "-connect", f"127.0.0.1:{port}", "-brief", *options],
        input="",
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    said = result.stdout + result.stderr
    version = re.search(r"Protocol version: (\S+)", said)
    cipher = re.search(r"Ciphersuite: (\S+)", said)
    return (version[1], cipher[1]) if version and cipher else None


def taken(port: int, ciphers: tuple[str, ...]) -> list[str]:
    """Return which of these suites of TLS 1.2 the listener takes from a client that has nothing else."""
    return [cipher for cipher in ciphers if negotiated(port, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")]


@pytest.mark.parametrize(
    ("profile", "suites"),
    [("bcp-195", GCM), ("bcp-195-modified", (*GCM, *MORE_GCM)), ("legacy", (*GCM, *WEAK))],
)
def test_a_profile_takes_its_cipher_suites_and_no_others(
    ports: dict[str, int], profile: str, suites: tuple[str, ...]
) -> None:
    assert taken(ports[profile], (*GCM, *MORE_GCM, *WEAK, *FORBIDDEN)) == list(suites)


@pytest.mark.parametrize("profile", PROFILES)
def test_tls_1_3_is_preferred(ports: dict[str, int], profile: str) -> None:
    found = negotiated(ports[profile])
    assert found is not None
    assert found[0] == "TLSv1.3"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_for_the_legacy_profile_alone(
    ports: dict[str, int], profile: str, version: str
) -> None:
    found = negotiated(ports[profile], version, "-cipher", "ALL:@SECLEVEL=0")
    assert (found is not None) == (profile == "legacy")


def test_a_renewed_certificate_is_presented_without_a_restart(
    ports: dict[str, int], certificate: Certificate
) -> None:
    new = certificate.renew().decode().replace("\r", "").strip()

    def presented() -> str:
        return ssl.get_server_certificate(("127.0.0.1", ports["bcp-195"])).strip()

    wait_until(lambda: presented() == new, "the new certificate", timeout=30)
    certificate.key.write_text("no key")
    certificate.cert.write_text("no certificate")
    assert presented() == new, "a mistake doesn't end what works"
