"""The custom resource definition: structural, up to date, and true to the original product's resource."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import celpy
import celpy.adapter
import pytest
import yaml
from kubernetes_validate.utils import latest_version, validate

from dimse_mesh.operator.crd import custom_resource_definition
from dimse_mesh.operator.reference import reference
from dimse_mesh.operator.render import render, resources_in, to_yaml
from dimse_mesh.operator.zone import InvalidResourceError, parse_spec
from tests.support.structural import resource_errors, structural_errors, with_defaults

CRD = custom_resource_definition()
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
SPEC = SCHEMA["properties"]["spec"]

ORIGINAL_FIELDS = {
    "applicationEntityTitle": "string",
    "targetDimseHost": "string",
    "targetDimsePort": "integer",
    "natsUrl": "string",
    "natsSecure": "boolean",
    "natsTokenSecret": "string",
    "natsSubjectRoot": "string",
    "natsSubjectChannel": "string",
    "imagePullSecrets": "array",
    "imagePullPolicy": "string",
    "proxy": "object",
}


def test_generated_files_are_fresh() -> None:
    """`k8s/generate.sh` writes them anew."""
    assert Path("k8s/crd/dimseproxies.yaml").read_text() == to_yaml([CRD])
    assert Path("k8s/helm/dimse-mesh/crds/dimseproxies.yaml").read_text() == to_yaml([CRD])
    assert Path("docs/deploy/reference.md").read_text() == reference()
    (zone,) = resources_in(Path("k8s/base/zone.yaml"))
    assert Path("k8s/base/manifests.yaml").read_text() == to_yaml(
        render(zone, default_image="dimse-mesh:latest")
    )


def test_schema_is_structural() -> None:
    assert list(structural_errors(SCHEMA)) == []
    validate(CRD, latest_version(), strict=True)


def test_every_field_says_what_it_is_for() -> None:
    def silent(schema: dict[str, Any], path: str) -> list[str]:
        found = [] if schema.get("description") else [path]
        for name, below in schema.get("properties", {}).items():
            found += silent(below, f"{path}.{name}")
        return found

    # The zone file's own settings say it in their models.
    assert [path for path in silent(SPEC, "spec") if not path.startswith("spec.settings.")] == []


def test_every_original_field_keeps_its_type() -> None:
    assert {name: SPEC["properties"][name]["type"] for name in ORIGINAL_FIELDS} == ORIGINAL_FIELDS
    assert SPEC["properties"]["natsSubjectChannel"]["default"] == "A"


def test_status_of_the_original_is_still_there() -> None:
    status = SCHEMA["properties"]["status"]["properties"]
    assert {"ready", "phase", "message", "secondaryResources"} <= set(status)


FILES = sorted(path for path in Path("k8s").rglob("*.yaml") if "templates" not in path.parts)
"""Helm's templates are no YAML; tests/cluster renders them."""


@pytest.mark.parametrize("path", FILES, ids=str)
def test_resources_in_the_repository_are_accepted(path: Path) -> None:
    for resource in resources_in(path):
        stored = with_defaults(SCHEMA, resource)
        assert list(resource_errors(SCHEMA, stored)) == []
        assert cel_refusals(stored["spec"]) == []
        parse_spec(stored["spec"])


def cel_refusals(spec: dict[str, Any]) -> list[str]:
    """Run the schema's CEL rules, as the API server does."""
    environment = celpy.Environment()
    refused = []
    for rule in SPEC["x-kubernetes-validations"]:
        program = environment.program(environment.compile(rule["rule"]))
        if not program.evaluate({"self": celpy.adapter.json_to_cel(spec)}):
            refused.append(rule["message"])
    return refused


@pytest.mark.parametrize(
    "spec",
    [
        {"natsUrl": "a:1", "targetDimseHost": "a"},
        {"natsUrl": "a:1", "natsTls": {}},
        {"natsUrl": "a:1", "natsTokenSecret": "a", "natsUserSecret": "b"},
    ],
)
def test_rules_across_fields_agree_with_the_operator(spec: dict[str, Any]) -> None:
    stored = with_defaults(SPEC, spec)
    (refused,) = cel_refusals(stored)
    with pytest.raises(InvalidResourceError) as caught:
        parse_spec(stored)
    assert refused in str(caught.value)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"natsUrl": "nats://a:1"},
        {"natsUrl": "a:1", "targetDimsePort": 0},
        {"natsUrl": "a:1", "imagePullPolicy": "Sometimes"},
        {"natsUrl": "a:1", "listeners": []},
        {"natsUrl": "a:1", "typo": 1},
    ],
)
def test_schema_refuses_what_the_operator_would(spec: dict[str, Any]) -> None:
    assert list(resource_errors(SPEC, with_defaults(SPEC, spec)))
    with pytest.raises(InvalidResourceError):
        parse_spec(spec)


def test_samples_use_every_field() -> None:
    """The samples and the minimal original together show each field of `spec` once."""
    used: set[str] = set()
    for name in ("original", "full", "two-zones"):
        for resource in yaml.safe_load_all(Path(f"k8s/samples/{name}.yaml").read_text()):
            used |= set(resource["spec"])
    others = {"natsTokenSecret", "natsNkeySecret", "natsKeysSecret", "natsUserSecret"}
    assert set(SPEC["properties"]) - used == others
