"""Who is let in by the TLS certificate that it shows: subject, issuer, subject alternative name, with real TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.certificates import write_pair
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.ports import reserve_port
from tests.support.process import wait_until
from tests.support.pynet import entity
from tests.support.scripted import Server

VERIFICATION = "1.2.840.10008.1.1"
OURS, THEIRS = trustme.CA(organization_name="Hospital CA"), trustme.CA(organization_name="Maker CA")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A listener with TLS that asks for a certificate, trusts two authorities, and has rules for each kind of name."""
    directory = tmp_path_factory.mktemp("certificates")
    both = directory / "both.pem"
    both.write_bytes(OURS.cert_pem.bytes() + THEIRS.cert_pem.bytes())
    cert, key = directory / "listener.pem", directory / "listener.key"
    write_pair(OURS.issue_cert("127.0.0.1"), cert, key)
    pacs = Ae("PACS", reserve_port(), "hospital")
    config = zone_config(
        "hospital",
        listener=reserve_port(),
        remote_aes=[{"ae_title": pacs.title, "host": "127.0.0.1", "port": pacs.port}],
        more={
            "policy": {
                "admission": [
                    {"effect": "deny", "certificate": {"san": "*.lost.example"}},
                    {
                        "effect": "permit",
                        "certificate": {"subject": "O=Radiology,*", "issuer": "O=Hospital CA,*"},
                    },
                    {"effect": "permit", "certificate": {"san": "*.ct.example"}},
                    {"effect": "deny"},
                ]
            }
        },
    )
    tls = {"cert": str(cert), "key": str(key), "ca": str(both)}
    config["association"]["listeners"][0]["tls"] = tls
    with Mesh.start(directory, [config]) as started:
        started.aes = {pacs.title: pacs}
        yield started


def admitted(mesh: Mesh, directory: Path, issued: trustme.LeafCert | None) -> bool:
    """Ask for an association with that certificate; tell whether it was granted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    OURS.configure_trust(context)
    if issued is not None:
        cert, key = directory / "client.pem", directory / "client.key"
        write_pair(issued, cert, key)
        context.load_cert_chain(cert, key)
    ae = entity("CT1")
    ae.add_requested_context(VERIFICATION)
    with Server(port=mesh.aes["PACS"].port):
        association = ae.associate(
            "127.0.0.1", mesh.listeners["hospital"], ae_title="PACS", tls_args=(context, "127.0.0.1")
        )
        try:
            return bool(association.is_established)
        finally:
            if association.is_established:
                association.release()


@pytest.mark.parametrize(
    ("issued", "permitted"),
    [
        (OURS.issue_cert("ct.example", organization_name="Radiology"), True),
        (THEIRS.issue_cert("ct.example", organization_name="Radiology"), False),
        (THEIRS.issue_cert("one.ct.example", organization_name="Maker"), True),
        (THEIRS.issue_cert("ONE.LOST.EXAMPLE", "a.ct.example"), False),
        (OURS.issue_cert("ct.example", organization_name="x,O=Radiology,y"), False),
        (OURS.issue_cert("ct.example", organization_name="Cardiology"), False),
        (None, False),
    ],
    ids=["subject", "other-issuer", "san", "denied-san", "comma-in-a-name", "other-subject", "none"],
)
def test_the_rules_see_the_certificate_that_a_client_shows(
    mesh: Mesh, tmp_path: Path, issued: trustme.LeafCert | None, permitted: bool
) -> None:
    assert admitted(mesh, tmp_path, issued) is permitted


def test_the_line_says_which_rule_has_refused(mesh: Mesh, tmp_path: Path) -> None:
    assert not admitted(mesh, tmp_path, None)
    wait_until(
        lambda: "denied-by-policy by policy.admission[3]" in mesh.log.read_text(), "the refusal is logged"
    )
