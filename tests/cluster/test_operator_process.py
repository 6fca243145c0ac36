"""The operator as the process that its Deployment starts: its health, its metrics, its Lease, its end."""

from __future__ import annotations

import signal
import socket
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from tests.support.cluster.api import Api, Manifest, Namespace
from tests.support.cluster.control_plane import ControlPlane
from tests.support.cluster.operator import SYSTEM, kubectl, rights_missed, start_operator
from tests.support.ports import reserve_port
from tests.support.process import wait_until

SPEC = {"natsUrl": "nats:4222", "natsAllowPlaintext": True}


def page(port: int, path: str) -> tuple[int, str]:
    """Return status and text of one of the operator's pages; status 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def holder(api: Api) -> str:
    lease = api.get("Lease", "dimse-mesh-operator", namespace=SYSTEM)
    return str(lease["spec"].get("holderIdentity", "")) if lease else ""


def test_process_answers_its_probes_counts_and_ends_on_sigterm(
    plane: ControlPlane, namespace: Namespace, tmp_path: Path
) -> None:
    port = reserve_port()
    options = ("--listen", f"127.0.0.1:{port}", "--identity", "only-one")
    with start_operator(plane, tmp_path, *options, image="here:2") as child:
        namespace.create("DimseProxy", "zone", spec=SPEC)
        namespace.until_ready("zone")
        template = namespace.get("Deployment", "zone-scu")["spec"]["template"]
        assert template["spec"]["containers"][0]["image"] == "here:2"
        for path in ("/livez", "/readyz", "/healthz"):
            assert page(port, path)[0] == 200, path
        with ExitStack() as half_open:
            for _ in range(200):
                half_open.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(b"GET /li")
            assert page(port, "/livez")[0] == 200
        wait_until(
            lambda: 'dimse_mesh_operator_resources{phase="Ready"} 1.0' in page(port, "/metrics")[1],
            "only this resource is left",
            timeout=120,
        )
        metrics = page(port, "/metrics")[1]
        assert "dimse_mesh_operator_leader 1.0" in metrics
        assert 'dimse_mesh_operator_api_requests_total{kind="Deployment",status="201",verb="PATCH"} 5.0' in (
            metrics
        )
        assert holder(plane.api) == "only-one"
        assert child.stop() == 0, child.describe()
        assert "Traceback" not in child.output
        # The next one needn't wait for the lease to lapse.
        assert holder(plane.api) == ""


def test_one_leads_and_the_other_takes_over_when_it_dies(
    plane: ControlPlane, namespace: Namespace, tmp_path: Path
) -> None:
    first = start_operator(plane, tmp_path / "a", "--identity", "a", image="image:a")
    try:
        wait_until(lambda: holder(plane.api) == "a", "a leads", timeout=60)
        second = start_operator(plane, tmp_path / "b", "--identity", "b", image="image:b")
        try:
            second.wait_for_line("standing by: a holds the lease", timeout=60)
            namespace.create("DimseProxy", "zone", spec=SPEC)
            namespace.until_ready("zone")
            history = [item["metadata"]["generation"] for item in deployments(namespace)]
            assert images(namespace) == {"image:a"}
            assert history == [1] * 5
            first.send_signal(signal.SIGKILL)
            wait_until(lambda: holder(plane.api) == "b", "b leads", timeout=60)
            namespace.until(lambda: images(namespace) == {"image:b"}, "b's image")
            namespace.until_ready("zone")
            assert [item["metadata"]["generation"] for item in deployments(namespace)] == [2] * 5
        finally:
            second.stop()
    finally:
        first.stop()


def test_the_operator_of_a_namespace_has_its_zones_for_itself(
    plane: ControlPlane, namespace: Namespace, admin: Path, tmp_path: Path
) -> None:
    """Beside the operator of the cluster, whatever the images of the two; that one takes over when it is gone."""
    built = kubectl(admin, "kustomize", "k8s/overlays/namespaced").replace(
        "namespace: imaging", f"namespace: {namespace.name}"
    )
    kubectl(admin, "apply", "-f", "-", text=built)
    with start_operator(plane, tmp_path / "whole", image="image:whole") as whole:
        options = ("--namespace", namespace.name, "--identity", "own")
        own = start_operator(plane, tmp_path / "own", *options, image="image:own", namespace=namespace.name)
        try:
            own.wait_for_line(f"watching {namespace.name}", timeout=60)
            namespace.create("DimseProxy", "zone", spec=SPEC)
            namespace.until_ready("zone")
            whole.wait_for_line("left to own, the operator of this namespace", timeout=60)
            namespace.patch("DimseProxy", "zone", {"spec": {"natsUrl": "nats:4223"}})
            namespace.until_ready("zone")
            assert images(namespace) == {"image:own"}
            assert [item["metadata"]["generation"] for item in deployments(namespace)] == [2] * 5
            own.stop()
            namespace.until(lambda: images(namespace) == {"image:whole"}, "the other one takes over")
            namespace.until_ready("zone")
        finally:
            own.stop()
        assert rights_missed(whole, plane.api) == []


def test_what_a_resource_may_name_is_limited_and_what_runs_goes_on(
    plane: ControlPlane, namespace: Namespace, tmp_path: Path
) -> None:
    with start_operator(plane, tmp_path, "--allow-images", "here:*", image="here:2"):
        namespace.create("DimseProxy", "zone", spec=SPEC | {"proxy": {"image": "here:1"}})
        namespace.until_ready("zone")
        namespace.patch("DimseProxy", "zone", {"spec": {"proxy": {"image": "elsewhere:1"}}})
        namespace.until(
            lambda: (
                "spec.proxy.image: the operator's settings don't allow" in namespace.status("zone")["message"]
            ),
            "the image is refused",
        )
        assert namespace.condition("zone", "Ready")["reason"] == "InvalidSpec"
        assert images(namespace) == {"here:1"}


def deployments(namespace: Namespace) -> list[Manifest]:
    ours = "app.kubernetes.io/managed-by=dimse-mesh-operator"
    return namespace.api.list("Deployment", namespace=namespace.name, labelSelector=ours)


def images(namespace: Namespace) -> set[str]:
    return {
        container["image"]
        for item in deployments(namespace)
        for container in item["spec"]["template"]["spec"]["containers"]
    }
