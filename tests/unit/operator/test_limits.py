"""What an editor of a DimseProxy may choose is limited by the operator's settings."""

from __future__ import annotations

from typing import Any

import pytest

from dimse_mesh.operator.limits import EditorLimits, exceeded
from dimse_mesh.operator.zone import parse_spec

BASE = {"natsUrl": "nats:4222", "natsAllowPlaintext": True}
OWN = "registry.example.org/dimse-mesh:1"
STRICT = EditorLimits(
    images=["registry.example.org/*"], secrets=["mesh-*"], annotations=["example.org/*"], volumes=["emptyDir"]
)


def complaints(limits: EditorLimits, **spec: Any) -> list[str]:
    return exceeded(parse_spec(BASE | spec), limits, default_image=OWN)


def volume(kind: str, **more: Any) -> dict[str, Any]:
    return {"services": {"scu": {"extraVolumes": [{"name": "more", kind: more}]}}}


def test_what_the_settings_name_is_allowed() -> None:
    spec = {
        "proxy": {"image": "registry.example.org/dimse-mesh:2"},
        "natsTokenSecret": "mesh-token",
        "imagePullSecrets": [{"name": "mesh-registry"}],
        "exposure": {"annotations": {"example.org/a": "b"}},
        "services": {"store": {"podAnnotations": {"example.org/a": "b"}}},
    }
    assert complaints(STRICT, **spec) == []
    assert complaints(STRICT, **volume("emptyDir")) == []


def test_the_operators_own_image_is_always_allowed() -> None:
    assert complaints(EditorLimits(images=()), proxy={"image": OWN}) == []


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"proxy": {"image": "evil.example.org/x:1"}}, "spec.proxy.image: "),
        ({"natsTokenSecret": "admin"}, "spec.natsTokenSecret: "),
        ({"imagePullSecrets": [{"name": "admin"}]}, "spec.imagePullSecrets[0]: "),
        ({"listeners": [{"tls": {"secretName": "admin"}}]}, "spec.listeners[0].tls.secretName: "),
        ({"exposure": {"annotations": {"lb.example.com/open": "1"}}}, "spec.exposure.annotations: "),
        (
            {"services": {"queryRetrieve": {"podAnnotations": {"inject.io/as": "root"}}}},
            "spec.services.queryRetrieve.podAnnotations: ",
        ),
        (volume("secret", secretName="admin"), "spec.services.scu.extraVolumes[0]: "),
        (volume("hostPath", path="/"), "spec.services.scu.extraVolumes[0]: "),
    ],
)
def test_what_they_do_not_name_is_refused(spec: dict[str, Any], said: str) -> None:
    found = complaints(STRICT, **spec)
    assert found
    assert all(line.startswith(said) and "don't allow" in line for line in found), found


@pytest.mark.parametrize(
    "body",
    [
        {"secret": {"secretName": "admin"}},
        {"projected": {"sources": [{"secret": {"name": "admin"}}]}},
        {"csi": {"driver": "d", "nodePublishSecretRef": {"name": "admin"}}},
        {"flexVolume": {"driver": "d", "secretRef": {"name": "admin"}}},
        {"azureFile": {"shareName": "s", "secretName": "admin"}},
    ],
)
def test_a_secret_is_found_in_every_kind_of_volume(body: dict[str, Any]) -> None:
    limits = EditorLimits(secrets=["mesh-*"], volumes=["*"])
    found = complaints(limits, services={"scu": {"extraVolumes": [{"name": "more", **body}]}})
    assert found == [
        "spec.services.scu.extraVolumes[0]: the operator's settings don't allow the Secret admin"
    ]


def test_nothing_of_the_node_and_no_token_of_the_api_server_is_allowed_unless_the_settings_say_so() -> None:
    token = {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    for body, kind in (({"hostPath": {"path": "/"}}, "hostPath"), (token, "serviceAccountToken")):
        spec = {"services": {"delivery": {"extraVolumes": [{"name": "more", **body}]}}}
        assert complaints(EditorLimits(), **spec) == [
            f"spec.services.delivery.extraVolumes[0]: the operator's settings don't allow a volume with {kind}"
        ]
        assert complaints(EditorLimits(volumes=["*"]), **spec) == []
