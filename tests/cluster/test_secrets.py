"""Pods are replaced when the data that they use changes, and only then; the operator may be restarted meanwhile."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster.api import Namespace
from tests.support.cluster.control_plane import ControlPlane
from tests.support.cluster.operator import start_operator

ORIGINAL: dict[str, Any] = yaml.safe_load(Path("k8s/samples/original.yaml").read_text())["spec"]
NAME = "archive-proxy"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def generations(namespace: Namespace) -> dict[str, int]:
    return {
        item["metadata"]["name"]: item["metadata"]["generation"]
        for item in namespace.api.list("Deployment", namespace=namespace.name)
    }


def test_only_the_data_of_used_keys_rolls_pods(
    plane: ControlPlane, namespace: Namespace, tmp_path: Path
) -> None:
    """The operator reads Secrets when it starts: so each step is also a restart, through which nothing is forgotten."""
    spec = {**ORIGINAL, "listeners": [{"tls": {"secretName": "cert"}}]}
    data = {"tls.crt": encoded("certificate 1"), "tls.key": encoded("key 1")}
    namespace.create("Secret", "cert", type="kubernetes.io/tls", data=data)
    association = f"{NAME}-association"
    with start_operator(plane, tmp_path / "1"):
        namespace.create("DimseProxy", NAME, spec=spec)
        namespace.until_ready(NAME)
    before = generations(namespace)

    # Nothing that is used changes: not by another key, not by the Secret's deletion.
    namespace.patch("Secret", "cert", {"data": {"other": encoded("unused")}})
    with start_operator(plane, tmp_path / "2"):
        namespace.patch("DimseProxy", NAME, {"spec": {"targetDimsePort": 104}})
        namespace.until_ready(NAME)
        assert generations(namespace) == {**before, f"{NAME}-scu": before[f"{NAME}-scu"] + 1}
    before = generations(namespace)
    namespace.delete("Secret", "cert")
    with start_operator(plane, tmp_path / "3"):
        namespace.until(
            lambda: namespace.condition(NAME, "Ready")["reason"] == "SecretMissing", "it is missing"
        )
        expected = f"spec.listeners[0].tls.secretName: there is no Secret cert in namespace {namespace.name}"
        assert namespace.status(NAME)["message"] == expected
        assert generations(namespace) == before

        # It comes back, renewed.
        data["tls.crt"] = encoded("certificate 2")
        namespace.create("Secret", "cert", type="kubernetes.io/tls", data=data)
        namespace.until(lambda: generations(namespace)[association] > before[association], "a roll-out")
        namespace.until_ready(NAME)
    after = generations(namespace)
    assert {name for name in before if before[name] != after[name]} == {association}
