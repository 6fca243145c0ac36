"""DICOM TLS on listeners and targets with DCMTK as the peer: right and wrong certificates (PS3.15 Annex B.9)."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support import dcmtk
from tests.support.certificates import write_pair
from tests.support.exposition import exposition, samples_of
from tests.support.files import data_sets, synthetic, write_file
from tests.support.mesh import Mesh, zone_config
from tests.support.ports import reserve_port, reserve_ports
from tests.support.process import wait_until
from tests.support.scripted import Server, ServerPeer

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
        write_pair(issued, pair.cert, pair.key)
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
    metrics: int
    """Port of the front-end's metrics; the executor's is four above it."""

    def failures(self, side: str, code: str) -> float:
        """Return how many TLS connections failed, by that code."""
        text = exposition(self.metrics + (4 if side == "target" else 0))
        labels = {"side": side, "code": code}
        (sample,) = (
            sample
            for sample in samples_of(text)
            if sample.name == "dimse_mesh_tls_failures_total" and sample.labels == labels
        )
        return sample.value

    def told(self, side: str, code: str, port: int | str, mistake: Callable[[], object]) -> str:
        """Make a mistake; when it is counted, return the line that names peer, port and code.

        The line may be older: each mistake is told once a minute.
        """
        before = self.failures(side, code)
        mistake()
        wait_until(lambda: self.failures(side, code) == before + 1, f"{code} is counted")
        pattern = f"no TLS.*{port}.*code={code} cure="
        self.mesh.child.wait_for_line(pattern, timeout=20)
        return next(line for line in self.mesh.child.output.splitlines() if re.search(pattern, line))


def alert(peer: ServerPeer) -> None:
    """Answer an A-ASSOCIATE-RQ as some TLS libraries do, Java's for one: with an alert, protocol_version."""
    peer.read_request()
    peer.send(bytes.fromhex("15030100020246"))


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
        secured_child, secured_port = dcmtk.storescp(
            root / "received" / "TLSONLY", ae_title="TLSONLY", more=(*ours.issue().dcmtk, *anonymous)
        )
        stack.callback(secured_child.stop)
        remote_aes.append({"ae_title": "TLSONLY", "host": "127.0.0.1", "port": secured_port})
        alerting = stack.enter_context(Server(alert))
        remote_aes.append({"ae_title": "ALERTING", "host": "127.0.0.1", "port": alerting.port})
        ports = [reserve_port() for _ in range(3)]
        metrics = reserve_ports(5)
        certificate = {"cert": str(listener.cert), "key": str(listener.key)}
        mutual = {**certificate, "ca": str(modalities.file), "require_client_cert": True}
        listeners = [
            {"host": "127.0.0.1", "port": port, **({"tls": tls} if tls else {})}
            for port, tls in zip(ports, (None, certificate, mutual), strict=True)
        ]
        more_settings = {
            "association": {"listeners": listeners, "open_timeout": 10},
            "observability": {"http": {"host": "127.0.0.1", "port": metrics}},
        }
        config = zone_config("hospital", remote_aes=remote_aes, more=more_settings)
        mesh = stack.enter_context(Mesh.start(root / "mesh", [config]))
        plain, secured, mutual_port = ports
        yield Rig(mesh, plain, secured, mutual_port, ours, modalities, stranger, root / "received", metrics)


@pytest.mark.parametrize("title", ["GOOD", "OTHERNAME", "MUTUAL"])
def test_target_with_a_trusted_certificate_gets_the_object_unchanged(
    rig: Rig, title: str, tmp_path: Path
) -> None:
    sent = synthetic(1, 300_000, study=70 + len(title))
    result = dcmtk.storescu(rig.plain, write_file(tmp_path / "a.dcm", sent), called=title)
    assert result.code == 0, result.output
    assert data_sets(rig.received / title)[sent.sop_instance].data == sent.data


@pytest.mark.parametrize(
    ("title", "code", "cure"),
    [
        ("UNKNOWNCA", "unknown-authority", "tls.ca of the remote AE"),
        ("EXPIRED", "expired-certificate", "renew it"),
        ("WRONGNAME", "wrong-name", "tls.server_name of the remote AE"),
        ("NOTLS", "closed-in-handshake", "see whether it speaks TLS"),
        ("NOCLIENTCERT", "no-certificate", "set tls.cert and tls.key of the remote AE"),
        ("ALERTING", "tls-peer", "the remote AE has no tls: add it"),
    ],
)
def test_target_whose_tls_does_not_fit_gets_no_association_and_the_log_says_why(
    rig: Rig, title: str, code: str, cure: str
) -> None:
    answers: list[dcmtk.Result] = []
    line = rig.told("target", code, title, lambda: answers.append(dcmtk.echoscu(rig.plain, called=title)))
    assert cure in line
    assert answers[0].code != 0
    assert "Association Rejected" in answers[0].output


def test_target_that_speaks_tls_and_says_nothing_of_it_is_suspected(rig: Rig) -> None:
    assert dcmtk.echoscu(rig.plain, called="TLSONLY").code != 0
    rig.mesh.child.wait_for_line(
        "target TLSONLY .*closed without an answer.*perhaps it speaks TLS", timeout=10
    )


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


def test_plain_client_at_a_tls_port_is_told_of(rig: Rig) -> None:
    line = rig.told("listener", "plain-peer", rig.tls, lambda: dcmtk.echoscu(rig.tls, called="GOOD"))
    assert "peer=127.0.0.1" in line
    assert "the peer speaks no TLS" in line


def test_tls_client_at_a_plain_port_is_told_of(rig: Rig) -> None:
    trust = ("+tla", "+cf", str(rig.ours.file))
    line = rig.told(
        "listener", "tls-peer", rig.plain, lambda: dcmtk.echoscu(rig.plain, called="GOOD", more=trust)
    )
    assert "the peer speaks TLS, and this listener has no tls" in line


def test_clients_whose_certificate_is_missing_or_wrong_are_told_of(rig: Rig) -> None:
    trust = ("+cf", str(rig.ours.file))
    late = rig.modalities.issue("ct-2", not_after=YESTERDAY, not_before=YESTERDAY - timedelta(days=9))
    for options, code, cure in (
        (("+tla",), "no-certificate", "give the peer one"),
        (rig.stranger.issue("ct-2").dcmtk, "unknown-authority", "add its authority"),
        (late.dcmtk, "expired-certificate", "renew it"),
    ):
        more = (*options, *trust)
        mistake = partial(dcmtk.echoscu, rig.mutual, called="GOOD", more=more)
        assert cure in rig.told("listener", code, rig.mutual, mistake)


def test_client_that_refuses_our_certificate_is_told_of(rig: Rig) -> None:
    more = ("+tla", "+cf", str(rig.stranger.file))
    mistake = partial(dcmtk.echoscu, rig.mutual, called="GOOD", more=more)
    line = rig.told("listener", "own-certificate-refused", rig.mutual, mistake)
    assert "trust the authority of tls.cert" in line


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_client_with_an_old_version_is_told_of_and_one_that_only_looks_is_not(rig: Rig) -> None:
    context = ssl.create_default_context(cafile=rig.ours.file)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.maximum_version = context.minimum_version = ssl.TLSVersion.TLSv1_1

    def mistake() -> None:
        socket.create_connection(("127.0.0.1", rig.mutual), timeout=10).close()
        with (
            socket.create_connection(("127.0.0.1", rig.mutual), timeout=10) as raw,
            pytest.raises((ssl.SSLError, ConnectionError)),
        ):
            context.wrap_socket(raw, server_hostname="127.0.0.1")

    closed = rig.failures("listener", "closed-in-handshake")
    assert "1.2, 1.3" in rig.told("listener", "no-common-version", rig.mutual, mistake)
    assert rig.failures("listener", "closed-in-handshake") == closed
