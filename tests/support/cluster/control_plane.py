"""A Kubernetes control plane on 127.0.0.1: etcd, kube-apiserver and kube-controller-manager as child processes.

No node, no scheduler: `node.Node` plays those. Authorisation is RBAC, as in a real cluster.
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.support.cluster.api import Api
from tests.support.ports import reserve_port
from tests.support.process import Child, require_tool, wait_until

BUILD = Path(__file__).parents[2] / "cluster/control_plane/build.sh"
DEFINITION = Path("k8s/crd/dimseproxies.yaml")
ADMIN_TOKEN = "admin-of-the-test-cluster"
CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "resourcequota-controller",
    "disruption-controller",
)


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Where the API server is, and what one needs to talk to it."""

    url: str
    authority: Path
    api: Api

    def write_kubeconfig(self, path: Path, token: str = ADMIN_TOKEN, *, namespace: str = "default") -> Path:
        """Write a kubeconfig with a bearer token to `path`, and return that path."""
        context = {"cluster": "test", "user": "test", "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": context}],
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": self.url, "certificate-authority": str(self.authority)},
                }
            ],
            "users": [{"name": "test", "user": {"token": token}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path


def programs() -> Path:
    """Return the directory of the two programs, built now if they aren't yet; without Go, skip or fail in CI."""
    done = subprocess.run([str(BUILD)], capture_output=True, text=True, check=False, timeout=2400)
    if done.returncode == 0:
        return Path(done.stdout.strip())
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if shutil.which("go") is None and os.environ.get("CI") != "true":
        pytest.skip(last)
    pytest.fail(f"the control plane was not built: {last}")


@contextmanager
def control_plane(directory: Path, *, port: int | None = None) -> Iterator[ControlPlane]:
    """Run a cluster that holds the definition of DimseProxy, and writes into `directory`.

    Args:
        port: of the API server; any free one if not given.
    """
    etcd_program = require_tool("etcd")
    built = programs()
    port = port or reserve_port()
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_pem.write_to_path(directory / "server.key")
    certificate.cert_chain_pems[0].write_to_path(directory / "server.crt")
    authority.cert_pem.write_to_path(directory / "ca.crt")
    _write_signing_key(directory)
    (directory / "tokens.csv").write_text(f'{ADMIN_TOKEN},admin,admin,"system:masters"\n')
    url = f"https://127.0.0.1:{port}"
    api = Api(url, ADMIN_TOKEN, ssl.create_default_context(cafile=str(directory / "ca.crt")))
    plane = ControlPlane(url, directory / "ca.crt", api)
    kubeconfig = plane.write_kubeconfig(directory / "admin.kubeconfig")
    with ExitStack() as running:
        client, peer = (f"http://127.0.0.1:{reserve_port()}" for _ in range(2))
        etcd = Child(
            [
                etcd_program,
                f"--data-dir={directory / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--unsafe-no-fsync",
                "--log-level=error",
            ],
            log=directory / "etcd.log",
        )
        running.enter_context(etcd)
        etcd.wait_for_port(int(client.rpartition(":")[2]))
        server = Child(
            [
                str(built / "kube-apiserver"),
                f"--etcd-servers={client}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--tls-cert-file={directory / 'server.crt'}",
                f"--tls-private-key-file={directory / 'server.key'}",
                f"--token-auth-file={directory / 'tokens.csv'}",
                "--authorization-mode=Node,RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={directory / 'service-accounts.pub'}",
                f"--service-account-signing-key-file={directory / 'service-accounts.key'}",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--endpoint-reconciler-type=none",
                "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
                "--profiling=false",
            ],
            log=directory / "kube-apiserver.log",
        )
        running.enter_context(server)
        running.enter_context(api)
        wait_until(
            lambda: _ready(api, server), f"the API server is ready; its log: {server.log}", timeout=120
        )
        # The garbage collector looks for new kinds every 30 seconds only: ours is there when it starts.
        api.apply(yaml.safe_load(DEFINITION.read_text()))
        manager = Child(
            [
                str(built / "kube-controller-manager"),
                f"--kubeconfig={kubeconfig}",
                f"--controllers={','.join(CONTROLLERS)}",
                f"--service-account-private-key-file={directory / 'service-accounts.key'}",
                f"--root-ca-file={directory / 'ca.crt'}",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                f"--secure-port={reserve_port()}",
                f"--cert-dir={directory / 'manager'}",
                "--kube-api-qps=500",
                "--kube-api-burst=1000",
                "--concurrent-gc-syncs=40",
            ],
            log=directory / "kube-controller-manager.log",
        )
        running.enter_context(manager)
        wait_until(
            lambda: api.get("ServiceAccount", "default", namespace="default") is not None,
            f"the controllers run; their log: {manager.log}",
            timeout=120,
        )
        yield plane


def _ready(api: Api, server: Child) -> bool:
    assert server.returncode is None, server.describe()
    try:
        return api.raw("GET", "/readyz")[0] == 200
    except OSError:
        return False


def _write_signing_key(directory: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (directory / "service-accounts.key").write_bytes(private)
    (directory / "service-accounts.pub").write_bytes(public)
