"""What the operator makes on a real API server, run for real by podman: it serves DICOM and ends in order."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dimse_mesh.operator.names import STANDING
from tests.support import dcmtk
from tests.support.cluster.api import Namespace
from tests.support.cluster.control_plane import control_plane
from tests.support.cluster.operator import SYSTEM, bind_operator, kubectl, start_operator
from tests.support.containers import IMAGE, Engine
from tests.support.files import data_sets, synthetic, write_file
from tests.support.nats import NatsServer
from tests.support.podman import Podman, playable, podman
from tests.support.ports import reserve_port
from tests.support.process import Child, wait_until


@pytest.fixture(scope="module")
def loaded(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    archive = tmp_path_factory.mktemp("image") / "image.tar"
    docker.run("save", "--output", str(archive), IMAGE)
    with podman(archive) as made:
        archive.unlink()
        yield made


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


@contextmanager
def imaging(directory: Path) -> Iterator[tuple[Namespace, Child]]:
    """Give a namespace of a real API server, with the operator at work, and no node: podman is it."""
    directory.mkdir()
    with control_plane(directory) as plane:
        admin = plane.write_kubeconfig(directory / "admin")
        kubectl(admin, "create", "namespace", SYSTEM)
        kubectl(admin, "apply", "--namespace", SYSTEM, "-k", "k8s/rbac")
        plane.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "imaging"}})
        bind_operator(plane.api, "imaging")
        with start_operator(
            plane, directory / "operator", "--namespace", "imaging", "--lease-namespace", SYSTEM
        ) as operator:
            yield Namespace(plane.api, "imaging"), operator


def test_what_the_operator_makes_serves_dicom(loaded: Podman, tmp_path: Path) -> None:
    """Pods of the API server run by podman, and their state told to it: the zone is Ready, then nothing is left."""
    nats = NatsServer(tmp_path / "nats")
    nats.start()
    target, target_port = dcmtk.storescp(tmp_path / "received", ae_title="ARCHIVE")
    listener = reserve_port()
    spec = {
        "applicationEntityTitle": "ARCHIVE",
        "targetDimseHost": "127.0.0.1",
        "targetDimsePort": target_port,
        "natsUrl": f"127.0.0.1:{nats.port}",
        "natsSubjectChannel": "A",
        "peerChannel": "A",
        "proxy": {"image": f"localhost/{IMAGE}"},
        "imagePullPolicy": "Never",
        "settings": {
            "association": {"listeners": [{"host": "127.0.0.1", "port": listener}]},
            "observability": {"http": {"host": "127.0.0.1"}},
        },
    }
    with imaging(tmp_path / "plane") as (namespace, operator):
        try:
            namespace.create("DimseProxy", "kube", spec=spec)
            namespace.until(lambda: len(namespace.names("Pod")) == len(STANDING), "five pods are wanted")
            pods = namespace.api.list("Pod", namespace=namespace.name)
            configs = [namespace.get("ConfigMap", f"kube-{component.value}") for component in STANDING]
            text, ports = playable([*configs, *({"apiVersion": "v1", "kind": "Pod", **pod} for pod in pods)])
            file = tmp_path / "kube.yaml"
            file.write_text(text)
            loaded.run("play", "kube", str(file))
            for name, port in ports.items():
                wait_until(lambda port=port: ready(port), f"{name} is ready", timeout=60)  # type: ignore[misc]  # mypy #2452
                tell_ready(namespace, name)
            namespace.until_ready("kube")

            sent = [synthetic(number, 50_000, study=64) for number in range(1, 6)]
            files = [write_file(tmp_path / f"{index}.dcm", one) for index, one in enumerate(sent)]
            result = dcmtk.storescu(listener, *files, called="ANY-AE", env=dcmtk.NO_DELAY)
            assert result.code == 0, result.output
            received = data_sets(tmp_path / "received")
            assert {uid: one.data for uid, one in received.items()} == {
                one.sop_instance: one.data for one in sent
            }

            containers = [f"{pod['metadata']['name']}-{pod['spec']['containers'][0]['name']}" for pod in pods]
            for container in containers:
                loaded.run("healthcheck", "run", container)
                facts = json.loads(loaded.run("inspect", container))[0]
                assert facts["HostConfig"]["ReadonlyRootfs"] is True
                assert not facts["EffectiveCaps"]
                assert loaded.run("exec", container, "id", "--user").strip() == "10001"

            namespace.delete("DimseProxy", "kube")
            namespace.until(lambda: deleted(namespace) == set(ports), "the pods are to end")
            loaded.run("pod", "stop", "--all", "--time", "30")
            for container in containers:
                code = loaded.run("inspect", "--format", "{{.State.ExitCode}}", container).strip()
                assert code == "0", container
            for name in ports:
                namespace.delete("Pod", name, gracePeriodSeconds="0")
            namespace.until(lambda: not namespace.made() and not namespace.names("Pod"), "nothing is left")
            assert " cannot " not in operator.output, operator.output
        finally:
            target.stop()
            nats.stop()


def tell_ready(namespace: Namespace, pod: str) -> None:
    """Do what a scheduler and a kubelet do when they have started a pod."""
    path = namespace.api.path("Pod", pod, namespace=namespace.name)
    target = {"apiVersion": "v1", "kind": "Node", "name": "podman"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
    namespace.api.ask("POST", f"{path}/binding", binding)
    conditions = [{"type": kind, "status": "True"} for kind in ("PodScheduled", "ContainersReady", "Ready")]
    namespace.patch("Pod", pod, {"status": {"phase": "Running", "conditions": conditions}}, "status")


def deleted(namespace: Namespace) -> set[str]:
    return {
        pod["metadata"]["name"]
        for pod in namespace.api.list("Pod", namespace=namespace.name)
        if pod["metadata"].get("deletionTimestamp")
    }
