"""DICOM TLS on listeners and targets with DCMTK as the peer: right and wrong certificates (PS3.15 Annex B.9)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support import dcmtk
from tests.support.files import data_sets, synthetic, write_file
from tests.support.mesh import Mesh, zone_config
from tests.support.ports import reserve_port
from tests.support.process import wait_until

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate chain and its key as files."""

    cert: Path
    key: Path

    @property
    def dcmtk(self) -> tuple[str, str, str]:
        """Options that make a DCMTK program present it."""
        return "+tls", str(self.key), str(self.cert)


class Authority:
    """A certification authority with its files in one folder."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._ca = trustme.CA()
        self._directory = directory
        self._count = 0
        self.file = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, name: str = "127.0.0.1", **more: Any) -> Pair:
        """Issue a certificate."""
        self._count += 1
        issued = self._ca.issue_cert(name, **more)
        pair = Pair(self._directory / f"{self._count}.crt", self._directory / f"{self._count}.key")
        pair.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(pair.key)
        return pair


@dataclass(frozen=True, slots=True)
class Rig:
    """A mesh with plain, TLS and mutual TLS listeners, and targets of every kind behind it."""

    mesh: Mesh
    plain: int
    tls: int
    mutual: int
    ours: Authority
    modalities: Authority
    stranger: Authority
    received: Path


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    root = tmp_path_factory.mktemp("dicom-tls")
    ours, modalities, stranger = (Authority(root / name) for name in ("ours", "modalities", "stranger"))
    listener, own = ours.issue(), modalities.issue("mesh.example.org")
    # AE title -> (the target's certificate, what the mesh trusts, extra options of the target, extra settings)
    anonymous, strict = ("-ic",), ("-rc", "+cf", str(modalities.file))
    present = {"cert": str(own.cert), "key": str(own.key)}
    expired = ours.issue(not_after=YESTERDAY, not_before=YESTERDAY - timedelta(days=9))
    targets: dict[str, tuple[Pair, Authority, tuple[str, ...], dict[str, str]]] = {
        "GOOD": (ours.issue(), ours, anonymous, {}),
        "OTHERNAME": (ours.issue("pacs.example.org"), ours, anonymous, {"server_name": "pacs.example.org"}),
        "MUTUAL": (ours.issue(), ours, strict, present),
        "UNKNOWNCA": (ours.issue(), stranger, anonymous, {}),
        "EXPIRED": (expired, ours, anonymous, {}),
        "WRONGNAME": (ours.issue("pacs.example.org"), ours, anonymous, {}),
        "NOCLIENTCERT": (ours.issue(), ours, strict, {}),
    }
    with ExitStack() as stack:
        remote_aes: list[dict[str, Any]] = []
        for title, (pair, trusted, options, more) in targets.items():
            child, port = dcmtk.storescp(
                root / "received" / title, ae_title=title, more=(*pair.dcmtk, *options)
            )
            stack.callback(child.stop)
            tls = {"ca": str(trusted.file), **more}
            remote_aes.append({"ae_title": title, "host": "127.0.0.1", "port": port, "tls": tls})
        plain_child, plain_port = dcmtk.storescp(root / "received" / "NOTLS", ae_title="NOTLS")
        stack.callback(plain_child.stop)
        remote_aes.append(
            {"ae_title": "NOTLS", "host": "127.0.0.1", "port": plain_port, "tls": {"ca": str(ours.file)}}
        )
        ports = [reserve_port() for _ in range(3)]
        certificate = {"cert": str(listener.cert), "key": str(listener.key)}
        mutual = {**certificate, "ca": str(modalities.file), "require_client_cert": True}
        listeners = [
            {"host": "127.0.0.1", "port": port, **({"tls": tls} if tls else {})}
            for port, tls in zip(ports, (None, certificate, mutual), strict=True)
        ]
        more_settings = {"association": {"listeners": listeners, "open_timeout": 10}}
        config = zone_config("hospital", remote_aes=remote_aes, more=more_settings)
        mesh = stack.enter_context(Mesh.start(root / "mesh", [config]))
        plain, secured, mutual_port = ports
        yield Rig(mesh, plain, secured, mutual_port, ours, modalities, stranger, root / "received")


@pytest.mark.parametrize("title", ["GOOD", "OTHERNAME", "MUTUAL"])
def test_target_with_a_trusted_certificate_gets_the_object_unchanged(
    rig: Rig, title: str, tmp_path: Path
) -> None:
    sent = synthetic(1, 300_000, study=70 + len(title))
    result = dcmtk.storescu(rig.plain, write_file(tmp_path / "a.dcm", sent), called=title)
    assert result.code == 0, result.output
    assert data_sets(rig.received / title)[sent.sop_instance].data == sent.data


@pytest.mark.parametrize(
    ("title", "says"),
    [
        ("UNKNOWNCA", "self-signed|unknown|issuer"),
        ("EXPIRED", "expired"),
        ("WRONGNAME", "mismatch|another|not valid for"),
        ("NOTLS", "tls|TLS"),
    ],
)
def test_target_that_is_not_trusted_is_never_spoken_to_and_the_log_says_why(
    rig: Rig, title: str, says: str
) -> None:
    start = len(rig.mesh.child.output.splitlines())
    result = dcmtk.echoscu(rig.plain, called=title)
    assert result.code != 0
    assert "Association Rejected" in result.output
    rig.mesh.child.wait_for_line(f"{title}.*({says})|({says}).*{title}", start=start, timeout=10)


def test_target_that_wants_a_client_certificate_and_gets_none_serves_nobody(rig: Rig) -> None:
    assert dcmtk.echoscu(rig.plain, called="NOCLIENTCERT").code != 0


def test_client_stores_through_a_tls_listener(rig: Rig, tmp_path: Path) -> None:
    sent = synthetic(1, 300_000, study=90)
    more = ("+tla", "+cf", str(rig.ours.file))
    result = dcmtk.storescu(rig.tls, write_file(tmp_path / "a.dcm", sent), called="GOOD", more=more)
    assert result.code == 0, result.output
    assert data_sets(rig.received / "GOOD")[sent.sop_instance].data == sent.data


def test_client_that_does_not_know_our_authority_refuses_us(rig: Rig) -> None:
    result = dcmtk.echoscu(rig.tls, called="GOOD", more=("+tla", "+cf", str(rig.stranger.file)))
    assert result.code != 0


def test_mutual_listener_takes_the_modality_and_nobody_else(rig: Rig) -> None:
    trust = ("+cf", str(rig.ours.file))
    good = dcmtk.echoscu(rig.mutual, called="GOOD", more=(*rig.modalities.issue("ct-1").dcmtk, *trust))
    assert good.code == 0, good.output
    assert dcmtk.echoscu(rig.mutual, called="GOOD", more=("+tla", *trust)).code != 0
    assert (
        dcmtk.echoscu(rig.mutual, called="GOOD", more=(*rig.stranger.issue("ct-1").dcmtk, *trust)).code != 0
    )
    late = rig.modalities.issue("ct-1", not_after=YESTERDAY, not_before=YESTERDAY - timedelta(days=9))
    assert dcmtk.echoscu(rig.mutual, called="GOOD", more=(*late.dcmtk, *trust)).code != 0


def test_plain_client_on_a_tls_listener_is_dropped_and_disturbs_nobody(rig: Rig) -> None:
    assert dcmtk.echoscu(rig.tls, called="GOOD").code != 0
    assert dcmtk.echoscu(rig.tls, called="GOOD", more=("+tla", "+cf", str(rig.ours.file))).code == 0


@pytest.mark.parametrize(
    ("version", "accepted"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_listener_speaks_tls_1_2_and_later_only(rig: Rig, version: ssl.TLSVersion, accepted: bool) -> None:
    context = ssl.create_default_context(cafile=rig.ours.file)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", rig.tls), timeout=10) as raw:
        if accepted:
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as secured:
                assert secured.version() == version.name.replace("_", ".")
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(raw, server_hostname="127.0.0.1")


def test_half_a_handshake_holds_nobody_up(rig: Rig) -> None:
    with socket.create_connection(("127.0.0.1", rig.tls), timeout=10) as raw:
        raw.sendall(b"\x16\x03\x01")
        more = ("+tla", "+cf", str(rig.ours.file))
        assert dcmtk.echoscu(rig.tls, called="GOOD", more=more).code == 0
    wait_until(lambda: dcmtk.echoscu(rig.plain, called="GOOD").code == 0, "the plain listener still serves")
