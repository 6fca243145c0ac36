"""`dimse-mesh operator`: what it prints. tests/cluster runs it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dimse_mesh.operator.__main__ import main
from dimse_mesh.operator.crd import custom_resource_definition


def test_crd_is_printed_as_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crd"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == custom_resource_definition()


def test_render_prints_objects_that_nobody_owns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--image", "here:1", "k8s/samples/original.yaml"]) == 0
    objects = list(yaml.safe_load_all(capsys.readouterr().out))
    deployments = [item for item in objects if item["kind"] == "Deployment"]
    assert len(deployments) == 5
    assert {item["spec"]["template"]["spec"]["containers"][0]["image"] for item in deployments} == {"here:1"}
    assert not any("ownerReferences" in item["metadata"] for item in objects)


def test_render_names_file_and_field_of_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "zone.yaml"
    file.write_text("kind: DimseProxy\nmetadata: {name: a}\nspec: {natsUrl: 'nats://a:1'}\n")
    assert main(["render", str(file)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"{file}: spec.natsUrl: ")
