"""`dimse-mesh operator`: what it prints, and the operator as the process that its Deployment starts."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

import anyio.to_thread
import pytest
import yaml

from dimse_mesh.operator.__main__ import main
from dimse_mesh.operator.crd import custom_resource_definition
from tests.support.kube import api_server, write_kubeconfig
from tests.support.ports import reserve_port
from tests.support.process import Child, wait_until


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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


@pytest.mark.anyio
async def test_process_answers_its_probe_makes_objects_and_ends_on_sigterm(tmp_path: Path) -> None:
    port = reserve_port()
    url = f"http://127.0.0.1:{port}/healthz"
    async with api_server() as cluster:
        write_kubeconfig(tmp_path / "kubeconfig", cluster)
        environment = {"KUBECONFIG": str(tmp_path / "kubeconfig"), "PROXY_IMAGE": "here:2"}
        command = [sys.executable, "-m", "dimse_mesh.app", "operator", "run", "--liveness", url]
        with Child(command, log=tmp_path / "operator.log", env=environment) as child:
            await cluster.create("DimseProxy", "zone", spec={"natsUrl": "nats:4222"})
            await cluster.until(lambda: len(cluster.names("Deployment")) == 5, "five Deployments")
            template = cluster.raw("Deployment", "zone-scu")["spec"]["template"]
            assert template["spec"]["containers"][0]["image"] == "here:2"
            await anyio.to_thread.run_sync(lambda: wait_until(lambda: alive(url), "alive"))
            assert await anyio.to_thread.run_sync(child.stop) == 0, child.describe()
            assert "Traceback" not in child.output


def alive(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
