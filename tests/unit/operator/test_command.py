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


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "can't be read: No such file or directory"),
        ("kind: [\n", "not YAML at line 2, column 1: expected the node content, but found '<stream end>'"),
        ("- kind: DimseProxy\n", "there is no DimseProxy in it"),
        ("kind: DimseProxy\nspec: {natsUrl: 'a:1'}\n", "metadata.name: missing"),
    ],
)
def test_render_says_in_one_line_why_a_file_is_none(
    content: str | None, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "zone.yaml"
    if content is not None:
        file.write_text(content)
    assert main(["render", str(file)]) == 1
    assert capsys.readouterr().err == f"{file}: {line}\n"
