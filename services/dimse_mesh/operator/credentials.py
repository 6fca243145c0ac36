"""Where the API server is and who we are there: the ServiceAccount of the pod, or a kubeconfig."""

from __future__ import annotations

import base64
import logging
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

log = logging.getLogger(__name__)

ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_SECONDS = 60.0
"""How long a token read from a file is used: the kubelet writes a new one long before the old one expires."""


class CredentialsError(Exception):
    """There are no usable credentials; the text says what was looked for, or what is wrong."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The API server's address, how to verify it, and the headers that say who asks."""

    server: str
    tls: ssl.SSLContext | None
    namespace: str
    """The pod's own, or that of the kubeconfig's context."""
    headers: Callable[[], Mapping[str, str]]


def credentials(environment: Mapping[str, str] = os.environ, account: Path = ACCOUNT_DIR) -> Credentials:
    """Find the credentials: `KUBECONFIG` if it is set, else the ServiceAccount, else ~/.kube/config.

    Raises:
        CredentialsError: there are none, or they can't be used.
    """
    if path := environment.get("KUBECONFIG"):
        return _of_kubeconfig(Path(path.split(os.pathsep)[0]))
    if (account / "token").exists() and "KUBERNETES_SERVICE_HOST" in environment:
        return _of_service_account(environment, account)
    default = Path(environment.get("HOME", "/")) / ".kube/config"
    if default.exists():
        return _of_kubeconfig(default)
    raise CredentialsError(f"no ServiceAccount in {account}, no KUBECONFIG, no {default}")


def _of_service_account(environment: Mapping[str, str], account: Path) -> Credentials:
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment.get("KUBERNETES_SERVICE_PORT", "443")
    authority = f"[{host}]" if ":" in host else host
    return Credentials(
        f"https://{authority}:{port}",
        ssl.create_default_context(cafile=str(account / "ca.crt")),
        (account / "namespace").read_text().strip(),
        _BearerFile(account / "token"),
    )


class _BearerFile:
    """Headers with the token of a file, read again after `TOKEN_SECONDS`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = ""
        self._read = float("-inf")

    def __call__(self) -> Mapping[str, str]:
        if time.monotonic() - self._read > TOKEN_SECONDS:
            self._token = self._path.read_text().strip()
            self._read = time.monotonic()
        return {"Authorization": f"Bearer {self._token}"}


def _of_kubeconfig(path: Path) -> Credentials:
    try:
        document: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
        context = _named(document, "context", document["current-context"])
        cluster = _named(document, "cluster", context["cluster"])
        user = _named(document, "user", context["user"])
        server = str(cluster["server"]).rstrip("/")
    except OSError as error:
        raise CredentialsError(f"{path}: can't be read: {error.strerror}") from error
    except KeyError as error:
        raise CredentialsError(f"{path}: there is no {error.args[0]}") from error
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise CredentialsError(f"{path}: it is no kubeconfig") from error
    try:
        tls = _tls(path.parent, cluster, user) if server.startswith("https:") else None
    except KeyError as error:
        raise CredentialsError(f"{path}: there is no {error.args[0]} beside the certificate") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise CredentialsError(f"{path}: certificates or key can't be loaded: {why}") from error
    if tls is not None and cluster.get("insecure-skip-tls-verify"):
        log.warning("%s: insecure-skip-tls-verify: our token goes to whoever answers as %s", path, server)
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return Credentials(server, tls, str(context.get("namespace", "default")), _headers(path, user))


def _named(document: Mapping[str, Any], kind: str, name: str) -> dict[str, Any]:
    for entry in document.get(f"{kind}s", ()):
        if entry["name"] == name:
            found: dict[str, Any] = entry[kind]
            return found
    raise KeyError(f"{kind} {name}")


def _tls(directory: Path, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if data := cluster.get("certificate-authority-data"):
        context = ssl.create_default_context(cadata=base64.b64decode(data).decode())
    elif file := cluster.get("certificate-authority"):
        context = ssl.create_default_context(cafile=str(directory / file))
    if "client-certificate" in user:
        context.load_cert_chain(directory / user["client-certificate"], directory / user["client-key"])
    elif "client-certificate-data" in user:
        _load_inline(context, user)
    return context


def _load_inline(context: ssl.SSLContext, user: Mapping[str, Any]) -> None:
    """Load certificate and key that stand in the kubeconfig itself; `ssl` takes files only."""
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        for field in ("client-certificate-data", "client-key-data"):
            file.write(base64.b64decode(user[field]))
        file.flush()
        context.load_cert_chain(file.name)


def _headers(path: Path, user: Mapping[str, Any]) -> Callable[[], Mapping[str, str]]:
    if "exec" in user or "auth-provider" in user:
        raise CredentialsError(f"{path}: log-in by a plug-in is not supported; give a token or a certificate")
    if "tokenFile" in user:
        return _BearerFile(path.parent / user["tokenFile"])
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    return lambda: headers
