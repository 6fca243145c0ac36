"""Each way in which the first connection fails has its own one-line message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from dimse_mesh.mesh import MeshUnavailable, NatsSettings
from tests.support.bus import address, join
from tests.support.nats import nats_server
from tests.support.ports import reserve_port

pytestmark = pytest.mark.anyio


async def connect(timeout: float = 30.0, **settings: Any) -> None:
    async with join(NatsSettings(**settings), address("i", zone="z"), root="D", timeout=timeout) as mesh:
        assert mesh.connected


async def failure(timeout: float = 5.0, **settings: Any) -> MeshUnavailable:
    with pytest.raises(MeshUnavailable) as caught:
        await connect(timeout, **settings)
    assert "\n" not in str(caught.value)
    return caught.value


async def test_nobody_listens() -> None:
    url = f"nats://127.0.0.1:{reserve_port()}"
    error = await failure(3, servers=[url])
    assert error.code == "refused"
    assert str(error).startswith(f"can't connect to NATS at {url}: connection refused")


async def test_nobody_listens_on_any_address_of_localhost() -> None:
    error = await failure(3, servers=[f"nats://localhost:{reserve_port()}"])
    assert error.code == "refused"


async def test_the_host_name_is_unknown() -> None:
    error = await failure(2, servers=["nats://no-such-host.invalid:4222"], allow_plaintext=True)
    assert error.code in {"unknown-host", "timed-out"}


async def test_a_wrong_token_fails_at_once_and_is_not_shown(tmp_path: Path) -> None:
    with nats_server(tmp_path / "nats", config='authorization { token: "right" }') as server:
        error = await failure(60, servers=[server.url], token="wr0ng")
        assert (error.code, error.retryable) == ("authorization", False)
        assert "authorization violation" in str(error)
        url = server.url.replace("nats://", "nats://wr0ng@")
        in_url = await failure(60, servers=[url])
        assert "wr0ng" not in str(error) + str(in_url)
        await connect(servers=[server.url], token="right")


async def test_a_server_that_says_nothing_times_out(tmp_path: Path) -> None:
    with nats_server(tmp_path / "nats") as server:
        server.pause()
        error = await failure(0.5, servers=[server.url])
        server.resume()
        assert error.code == "timed-out"


async def test_a_missing_ca_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    error = await failure(60, servers=["tls://127.0.0.1:4222"], tls={"ca": missing})
    assert (error.code, str(missing) in str(error)) == ("file", True)


class Pki:
    """An authority with a good and an expired certificate for 127.0.0.1."""

    def __init__(self, directory: Path) -> None:
        self.ca = trustme.CA()
        self.ca_file = directory / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.ca_file))
        self.other_file = directory / "other.pem"
        trustme.CA().cert_pem.write_to_path(str(self.other_file))
        self.directory = directory

    def config(self, *, expired: bool = False, more: str = "") -> str:
        """Return a `tls` block with a new certificate."""
        now = datetime.now(UTC)
        cert = self.ca.issue_cert(
            "127.0.0.1",
            not_before=now - timedelta(days=2),
            not_after=now + timedelta(days=-1 if expired else 1),
        )
        cert_file, key_file = self.directory / "cert.pem", self.directory / "key.pem"
        cert.cert_chain_pems[0].write_to_path(str(cert_file))
        cert.private_key_pem.write_to_path(str(key_file))
        return f'tls {{ cert_file: "{cert_file}", key_file: "{key_file}" {more} }}'

    def client(self) -> dict[str, Path]:
        """Return settings of a client certificate."""
        cert = self.ca.issue_cert("client@test")
        cert_file, key_file = self.directory / "client.pem", self.directory / "client-key.pem"
        cert.cert_chain_pems[0].write_to_path(str(cert_file))
        cert.private_key_pem.write_to_path(str(key_file))
        return {"cert": cert_file, "key": key_file}


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


async def test_tls_connects_with_the_right_authority_only(tmp_path: Path, pki: Pki) -> None:
    with nats_server(tmp_path / "nats", config=pki.config(), scheme="tls") as server:
        await connect(servers=[server.url], tls={"ca": pki.ca_file})
        error = await failure(60, servers=[server.url], tls={"ca": pki.other_file})
        assert (error.code, error.retryable) == ("unknown-ca", False)
        assert "unknown CA" in str(error)
        system = await failure(60, servers=[server.url])
        assert system.code == "unknown-ca"


async def test_tls_with_an_expired_certificate(tmp_path: Path, pki: Pki) -> None:
    with nats_server(tmp_path / "nats", config=pki.config(expired=True), scheme="tls") as server:
        error = await failure(60, servers=[server.url], tls={"ca": pki.ca_file})
        assert (error.code, "expired" in str(error)) == ("certificate-expired", True)


async def test_tls_before_info(tmp_path: Path, pki: Pki) -> None:
    config = pki.config(more=", handshake_first: true")
    with nats_server(tmp_path / "nats", config=config, scheme="tls") as server:
        await connect(servers=[server.url], tls={"ca": pki.ca_file, "handshake_first": True})


async def test_mutual_tls(tmp_path: Path, pki: Pki) -> None:
    config = pki.config(more=f', verify: true, ca_file: "{pki.ca_file}"')
    with nats_server(tmp_path / "nats", config=config, scheme="tls") as server:
        await connect(servers=[server.url], tls={"ca": pki.ca_file, **pki.client()})
        error = await failure(3, servers=[server.url], tls={"ca": pki.ca_file})
        assert error.code in {"closed", "tls"}


async def test_credentials_are_not_sent_to_a_server_without_tls(tmp_path: Path) -> None:
    with nats_server(tmp_path / "nats", scheme="tls", config="trace: true, debug: true") as server:
        error = await failure(60, servers=[server.url], token="secret")
        assert (error.code, "does not offer TLS" in str(error)) == ("tls", True)
        assert "CONNECT" not in server.log.read_text()


async def test_websocket(tmp_path: Path) -> None:
    port = reserve_port()
    config = f'websocket {{ listen: "127.0.0.1:{port}", no_tls: true }}'
    with nats_server(tmp_path / "nats", config=config):
        await connect(servers=[f"ws://127.0.0.1:{port}"])
    error = await failure(3, servers=[f"ws://127.0.0.1:{port}"])
    assert error.code == "refused"


async def test_an_nkey_seed_file(tmp_path: Path) -> None:
    import nkeys

    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    (tmp_path / "seed").write_bytes(seed)
    config = f"authorization {{ users = [ {{ nkey: {public} }} ] }}"
    with nats_server(tmp_path / "nats", config=config) as server:
        await connect(servers=[server.url], nkey_seed=tmp_path / "seed")
