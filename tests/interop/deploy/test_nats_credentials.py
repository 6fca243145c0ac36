"""Every way in which a DimseProxy proves itself to NATS, with right and wrong material, against a real nats-server.

The service runs from the configuration and Secrets that the operator renders. Wrong material: one clear line as
its last words, and that line in the resource's conditions.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nkeys
import pytest
import trustme

from dimse_mesh.operator.names import Component
from dimse_mesh.operator.pods import report_of
from dimse_mesh.operator.status import Observation, Seen, status_of
from tests.support.certificates import write_pair
from tests.support.kubelet import Secrets, Started, start
from tests.support.mesh import zone_config
from tests.support.nats import nats_server
from tests.support.permitted import Bus
from tests.support.process import wait_until


@dataclass(frozen=True, slots=True)
class Case:
    """A nats-server's configuration, what the resource says, and its Secrets."""

    server: str = ""
    spec: dict[str, Any] = field(default_factory=dict)
    secrets: Secrets = field(default_factory=dict)
    says: str = ""
    """Part of the last words when it must fail."""


@contextmanager
def running(case: Case, directory: Path) -> Iterator[Started]:
    with nats_server(directory / "nats", config=case.server) as server:
        spec = {"natsUrl": f"127.0.0.1:{server.port}", **case.spec}
        started = start(directory / "service", spec, Component.STORE, case.secrets)
        try:
            yield started
        finally:
            started.child.stop()


class Keys:
    """An nkey pair."""

    def __init__(self, prefix: int, number: int) -> None:
        self.seed: bytes = nkeys.encode_seed(bytes([number]) * 32, prefix)
        self.pair = nkeys.from_seed(bytearray(self.seed))
        self.public = self.pair.public_key.decode()

    def claims(self, subject: Keys, nats: dict[str, Any], *, expires: float | None = None) -> str:
        """Return a JWT about `subject`, signed by these keys (NATS ADR-14)."""
        body = {"jti": "x", "iat": int(time.time()), "iss": self.public, "name": "x", "sub": subject.public}
        body["nats"] = {**nats, "version": 2}
        if expires is not None:
            body["exp"] = int(expires)
        parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, body]
        text = ".".join(unpadded(json.dumps(part).encode()) for part in parts)
        return f"{text}.{unpadded(self.pair.sign(text.encode()))}"


def unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


OPERATOR = Keys(nkeys.PREFIX_BYTE_OPERATOR, 1)
ACCOUNT = Keys(nkeys.PREFIX_BYTE_ACCOUNT, 2)
SYSTEM = Keys(nkeys.PREFIX_BYTE_ACCOUNT, 5)
USER = Keys(nkeys.PREFIX_BYTE_USER, 3)
STRANGER = Keys(nkeys.PREFIX_BYTE_USER, 4)


def jwt_server() -> str:
    everything = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn"), -1)
    limits = {**everything, "wildcards": True}
    accounts = {
        one.public: OPERATOR.claims(one, {"type": "account", "limits": limits}) for one in (ACCOUNT, SYSTEM)
    }
    operator = OPERATOR.claims(OPERATOR, {"type": "operator"})
    preload = ", ".join(f"{public}: {jwt}" for public, jwt in accounts.items())
    return (
        f"operator: {operator}\nsystem_account: {SYSTEM.public}\n"
        f"resolver: MEMORY\nresolver_preload: {{ {preload} }}\n"
    )


def credentials(*, expires: float | None = None, seed: bytes = USER.seed) -> str:
    limits = {"subs": -1, "data": -1, "payload": -1}
    jwt = ACCOUNT.claims(USER, {"type": "user", **limits}, expires=expires)
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed.decode()}\n------END USER NKEY SEED------\n"
    )


def tls_files(directory: Path, authority: trustme.CA, **more: Any) -> tuple[Path, Path]:
    issued = authority.issue_cert(*more.pop("names", ("127.0.0.1",)), **more)
    key, chain = directory / "server.key", directory / "server.crt"
    write_pair(issued, chain, key)
    return key, chain


def tls_server(
    directory: Path, authority: trustme.CA, *, clients: trustme.CA | None = None, **more: Any
) -> str:
    key, chain = tls_files(directory, authority, **more)
    verify = ""
    if clients is not None:
        clients.cert_pem.write_to_path(directory / "clients.crt")
        verify = f'ca_file: "{directory}/clients.crt", verify: true'
    return f'tls {{ cert_file: "{chain}", key_file: "{key}", {verify} }}'


def ca_secret(authority: trustme.CA) -> dict[str, bytes]:
    return {"ca.crt": authority.cert_pem.bytes()}


def key_pair(authority: trustme.CA) -> dict[str, bytes]:
    issued = authority.issue_cert("client.example.org")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return {"tls.crt": chain, "tls.key": issued.private_key_pem.bytes()}


TOKEN = 'authorization { token: "right" }'
PASSWORD = 'authorization { user: "mesh", password: "right" }'
DENIED = "authorization violation"


def nkey_server() -> str:
    return f'authorization {{ users: [ {{ nkey: "{USER.public}" }} ] }}'


def secure(**more: Any) -> dict[str, Any]:
    return {"natsSecure": True, "natsTls": {"caSecret": "ca", **more}}


CA, OTHER = trustme.CA(), trustme.CA()
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


def role_keys(directory: Path, *, store: str = "store") -> Case:
    """Return a server with the permissions of each role, and the Secret of the zone's folder of keys.

    Args:
        store: the role whose key stands under the name of the C-STORE handler's.
    """
    bus = Bus.of(directory / "bus", [zone_config("A")])
    config = bus.one_server()
    keys = {path.name: path.read_bytes() for path in bus.keys.zone("A").iterdir()}
    keys["store.nk"] = keys[f"{store}.nk"]
    return Case(config, {"natsKeysSecret": "keys"}, {"keys": keys})


RIGHT: dict[str, Callable[[Path], Case]] = {
    "token": lambda _: Case(TOKEN, {"natsTokenSecret": "t"}, {"t": {"token": "right\n"}}),
    "user": lambda _: Case(
        PASSWORD, {"natsUserSecret": "u"}, {"u": {"username": "mesh", "password": "right"}}
    ),
    "nkey": lambda _: Case(nkey_server(), {"natsNkeySecret": "n"}, {"n": {"seed": USER.seed}}),
    "a key for each role": role_keys,
    "credentials": lambda _: Case(
        jwt_server(), {"natsCredentialsSecret": "c"}, {"c": {"credentials": credentials()}}
    ),
    "tls": lambda path: Case(tls_server(path, CA), secure(), {"ca": ca_secret(CA)}),
    "tls with a token": lambda path: Case(
        f"{tls_server(path, CA)}\n{TOKEN}",
        {**secure(), "natsTokenSecret": "t"},
        {"ca": ca_secret(CA), "t": {"token": "right"}},
    ),
    "tls under another name": lambda path: Case(
        tls_server(path, CA, names=("nats.example.org",)),
        secure(serverName="nats.example.org"),
        {"ca": ca_secret(CA)},
    ),
    "tls first": lambda path: Case(
        tls_server(path, CA).replace("tls {", "tls { handshake_first: true, "),
        secure(handshakeFirst=True),
        {"ca": ca_secret(CA)},
    ),
    "mutual tls": lambda path: Case(
        tls_server(path, CA, clients=OTHER),
        secure(certSecret="own"),
        {"ca": ca_secret(CA), "own": key_pair(OTHER)},
    ),
}

WRONG: dict[str, Callable[[Path], Case]] = {
    "token": lambda _: Case(TOKEN, {"natsTokenSecret": "t"}, {"t": {"token": "wr0ng"}}, DENIED),
    "no token": lambda _: Case(TOKEN, says=DENIED),
    "password": lambda _: Case(
        PASSWORD, {"natsUserSecret": "u"}, {"u": {"username": "mesh", "password": "wr0ng"}}, DENIED
    ),
    "nkey": lambda _: Case(nkey_server(), {"natsNkeySecret": "n"}, {"n": {"seed": STRANGER.seed}}, DENIED),
    "seed of the credentials": lambda _: Case(
        jwt_server(),
        {"natsCredentialsSecret": "c"},
        {"c": {"credentials": credentials(seed=STRANGER.seed)}},
        DENIED,
    ),
    "expired credentials": lambda _: Case(
        jwt_server(),
        {"natsCredentialsSecret": "c"},
        {"c": {"credentials": credentials(expires=YESTERDAY.timestamp())}},
        "author",
    ),
    "authority": lambda path: Case(tls_server(path, CA), secure(), {"ca": ca_secret(OTHER)}, "unknown CA"),
    "system's authorities": lambda path: Case(tls_server(path, CA), {"natsSecure": True}, says="CA"),
    "expired certificate": lambda path: Case(
        tls_server(path, CA, not_after=YESTERDAY, not_before=YESTERDAY - timedelta(days=9)),
        secure(),
        {"ca": ca_secret(CA)},
        "expired",
    ),
    "name in the certificate": lambda path: Case(
        tls_server(path, CA, names=("nats.example.org",)), secure(), {"ca": ca_secret(CA)}, "for another"
    ),
    "server without tls": lambda _: Case("", secure(), {"ca": ca_secret(CA)}, "TLS"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_material_makes_the_service_ready(name: str, tmp_path: Path) -> None:
    with running(RIGHT[name](tmp_path), tmp_path) as started:
        wait_until(lambda: started.readyz()[0] == 200, "ready", timeout=30)
        assert started.child.stop() == 0


@pytest.mark.parametrize("name", WRONG)
def test_wrong_material_says_what_is_wrong_and_never_gets_ready(name: str, tmp_path: Path) -> None:
    case = WRONG[name](tmp_path)
    with running(case, tmp_path) as started:
        assert started.child.wait(timeout=30) == 1
        words = started.last_words
    assert case.says in words
    assert words.count("can't connect to NATS") == 1
    for secret in ("wr0ng", USER.seed.decode(), STRANGER.seed.decode()):
        assert secret not in started.child.output
    assert conditions_after(words)["NatsConnected"] == ("False", words)
    assert conditions_after(words)["Ready"] == ("False", f"store: {words}")


def test_another_roles_key_is_of_no_use(tmp_path: Path) -> None:
    with running(role_keys(tmp_path, store="scu"), tmp_path) as started:
        assert started.child.wait(timeout=30) == 1
        assert "does not let role store of zone A subscribe to DIMSE." in started.last_words


def conditions_after(words: str) -> dict[str, tuple[str, str]]:
    """Return what the operator says of a pod whose container ended with these last words."""
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    container = {"state": state, "lastState": {"terminated": {"exitCode": 1, "message": f"ready\n{words}\n"}}}
    pod = {"metadata": {"name": "store-1"}, "status": {"phase": "Running", "containerStatuses": [container]}}
    services = {Component.STORE: Seen(desired=1, pods=[report_of(pod)])}
    status = status_of("2026-01-01T00:00:00Z", Observation(1, services=services))
    return {one["type"]: (one["status"], one["message"]) for one in status["conditions"]}
