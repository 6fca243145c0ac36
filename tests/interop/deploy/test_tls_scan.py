"""Every profile scanned for every version and cipher suite that OpenSSL knows, and met by DCMTK's own profiles."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest
import trustme

from tests.support import dcmtk
from tests.support.certificates import write_pair
from tests.support.mesh import Mesh, zone_config
from tests.support.ports import reserve_port
from tests.support.process import require_tool
from tests.support.scripted import Server

OPENSSL = "/usr/bin/openssl"
KEYS = {"RSA": trustme.KeyType.RSA, "ECDSA": trustme.KeyType.ECDSA}
TLS_1_3 = {"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"}
GCM = {f"ECDHE-{{key}}-{suite}" for suite in ("AES128-GCM-SHA256", "AES256-GCM-SHA384")}
MODIFIED = GCM | {"ECDHE-{key}-CHACHA20-POLY1305"}
CCM = {f"ECDHE-ECDSA-AES{bits}-CCM{tag}" for bits in (128, 256) for tag in ("", "8")}
CBC = {f"ECDHE-{{key}}-AES{bits}-SHA" for bits in (128, 256)}
CBC_1_2 = {"ECDHE-{key}-AES128-SHA256", "ECDHE-{key}-AES256-SHA384"}
STATIC = {"AES128-SHA", "AES256-SHA"}
STATIC_1_2 = {"AES128-SHA256", "AES256-SHA256", "AES128-GCM-SHA256", "AES256-GCM-SHA384"}


def allowed(profile: str, key: str, version: str) -> set[str]:
    """Return what docs/security.md says that a listener takes; its RSA key exchange needs an RSA key."""
    if version == "-tls1_3":
        return TLS_1_3
    old = version in {"-tls1", "-tls1_1"}
    suites: set[str] = set()
    if profile == "legacy":
        suites = CBC | (set() if old else GCM | CBC_1_2)
        if key == "RSA":
            suites |= STATIC | (set() if old else STATIC_1_2)
        elif not old:
            suites |= CCM
    elif not old:
        suites = MODIFIED | (CCM if key == "ECDSA" else set()) if profile == "bcp-195-modified" else GCM
    return {suite.format(key=key) for suite in suites}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], int]]:
    """Listeners for each profile and kind of key, before one target."""
    directory = tmp_path_factory.mktemp("scan")
    ca = trustme.CA(key_type=trustme.KeyType.RSA)
    ports: dict[tuple[str, str], int] = {}
    listeners = []
    for key, kind in KEYS.items():
        pair = directory / f"{key}.crt", directory / f"{key}.key"
        write_pair(ca.issue_cert("127.0.0.1", key_type=kind), *pair)
        for profile in ("bcp-195", "bcp-195-modified", "legacy"):
            port = ports[profile, key] = reserve_port()
            tls = {"cert": str(pair[0]), "key": str(pair[1]), "profile": profile}
            listeners.append({"host": "127.0.0.1", "port": port, "tls": tls})
    target = reserve_port()
    config = zone_config(
        "hospital",
        remote_aes=[{"ae_title": "PACS", "host": "127.0.0.1", "port": target}],
        more={"association": {"listeners": listeners}},
    )
    with Mesh.start(directory, [config]), Server(port=target):
        yield ports


def every_suite() -> set[str]:
    """Return every cipher suite of OpenSSL for TLS 1.2 and below."""
    listed = subprocess.run(
        [require_tool(OPENSSL), "ciphers", "-s", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {suite for suite in listed.strip().split(":") if not suite.startswith("TLS_")}


def taken(port: int, version: str) -> set[str]:
    """Return what a listener takes of all suites: each time what it chose is offered no more."""
    offered = TLS_1_3 | {"TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"}
    offered = offered if version == "-tls1_3" else every_suite()
    found: set[str] = set()
    while offered - found:
        text = ":".join(sorted(offered - found))
        option = ("-ciphersuites", text) if version == "-tls1_3" else ("-cipher", f"{text}:@SECLEVEL=0")
        done = subprocess.run(
            [require_tool(OPENSSL), "s_client", "-connect", f"127.0.0.1:{port}", "-brief", version, *option],
            input="",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        chosen = re.search(r"Ciphersuite: (\S+)", done.stdout + done.stderr)
        if chosen is None:
            return found
        assert chosen[1] not in found
        found.add(chosen[1])
    return found


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("profile", ["bcp-195", "bcp-195-modified", "legacy"])
def test_a_scan_finds_exactly_what_the_profile_allows(
    ports: dict[tuple[str, str], int], profile: str, key: str
) -> None:
    for version in ("-tls1", "-tls1_1", "-tls1_2", "-tls1_3"):
        assert taken(ports[profile, key], version) == allowed(profile, key, version), version


@pytest.mark.parametrize("profile", ["bcp-195", "bcp-195-modified", "legacy"])
@pytest.mark.parametrize(
    ("theirs", "met"),
    [
        ("--profile-bcp195-nd", True),
        ("--profile-bcp195", True),
        ("--profile-bcp195-ex", True),
        ("--profile-aes", None),
        ("--profile-null", False),
    ],
)
def test_dcmtks_profiles_meet_ours(
    ports: dict[tuple[str, str], int], profile: str, theirs: str, met: bool | None
) -> None:
    """The retired AES profile has nothing but RSA key exchange with CBC: the legacy profile alone has that, too."""
    done = dcmtk.echoscu(ports[profile, "RSA"], called="PACS", more=("+tla", "-ic", theirs))
    assert (done.code == 0) == (profile == "legacy" if met is None else met), done.output
