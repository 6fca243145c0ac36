"""The Deployments that the operator renders, run for real by podman: they serve DICOM and end in order."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from dimse_mesh.operator.names import STANDING
from dimse_mesh.operator.render import render
from tests.support import dcmtk
from tests.support.containers import IMAGE, Engine
from tests.support.files import data_sets, synthetic, write_file
from tests.support.nats import NatsServer
from tests.support.podman import Podman, playable, podman
from tests.support.ports import reserve_port
from tests.support.process import wait_until


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


def test_rendered_deployments_serve_dicom(loaded: Podman, tmp_path: Path) -> None:
    nats = NatsServer(tmp_path / "nats")
    nats.start()
    target, target_port = dcmtk.storescp(tmp_path / "received", ae_title="ARCHIVE")
    listener = reserve_port()
    resource = {
        "metadata": {"name": "kube"},
        "spec": {
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
        },
    }
    text, ports = playable(render(resource, default_image="none"))
    assert set(ports) == {f"kube-{component.value}" for component in STANDING}
    file = tmp_path / "kube.yaml"
    file.write_text(text)
    try:
        loaded.run("play", "kube", str(file))
        wait_until(lambda: all(ready(port) for port in ports.values()), "five pods are ready", timeout=60)

        sent = [synthetic(number, 50_000, study=64) for number in range(1, 6)]
        files = [write_file(tmp_path / f"{index}.dcm", one) for index, one in enumerate(sent)]
        result = dcmtk.storescu(listener, *files, called="ANY-AE", env=dcmtk.NO_DELAY)
        assert result.code == 0, result.output
        received = data_sets(tmp_path / "received")
        assert {uid: one.data for uid, one in received.items()} == {
            one.sop_instance: one.data for one in sent
        }

        for name in ports:
            container = f"{name}-pod-0-{name.removeprefix('kube-')}"
            loaded.run("healthcheck", "run", container)
            facts = json.loads(loaded.run("inspect", container))[0]
            assert facts["HostConfig"]["ReadonlyRootfs"] is True
            assert not facts["EffectiveCaps"]
            assert loaded.run("exec", container, "id", "--user").strip() == "10001"
        loaded.run("pod", "stop", "--all", "--time", "30")
        for name in ports:
            container = f"{name}-pod-0-{name.removeprefix('kube-')}"
            assert loaded.run("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0", name
    finally:
        target.stop()
        nats.stop()
