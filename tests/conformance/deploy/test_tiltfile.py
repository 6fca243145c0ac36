"""The Tiltfile's two modes agree with the manifests, the Dockerfile and the services' own settings."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import starlark
import yaml

from dimse_mesh.operator.desired import desired_objects
from dimse_mesh.operator.names import STANDING, Component, Owner
from dimse_mesh.operator.zone import parse_spec
from dimse_mesh.runtime.settings import ZoneSettings
from tests.support.tiltfile import Tilt, load_tiltfile

TILTFILE = Path("Tiltfile")
ZONES = {"hospital": "zone-a", "cloud": "zone-b"}


@pytest.fixture(scope="module")
def cluster() -> Tilt:
    return load_tiltfile(TILTFILE)


@pytest.fixture(scope="module")
def local() -> Tilt:
    return load_tiltfile(TILTFILE, mode="local")


@pytest.fixture(scope="module", params=["kubernetes", "local"])
def durable(request: pytest.FixtureRequest) -> Tilt:
    return load_tiltfile(TILTFILE, mode=request.param, delivery="durable")


def service_names() -> set[str]:
    return {f"{zone}-{component.value}" for zone in ZONES for component in STANDING}


def children(tilt: Tilt) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return what the operator makes of the resources that Tilt applies, by kind, namespace, name."""
    found = {}
    for resource in tilt.objects:
        if resource["kind"] == "DimseProxy":
            metadata = resource["metadata"]
            owner = Owner(metadata["name"], metadata["namespace"], "uid")
            for item in desired_objects(owner, parse_spec(resource["spec"]), default_image="none"):
                found[item["kind"], metadata["namespace"], item["metadata"]["name"]] = item
    return found


def container_of(deployment: dict[str, Any]) -> dict[str, Any]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def test_both_modes_have_five_services_in_two_zones_and_nats(cluster: Tilt, local: Tilt) -> None:
    for tilt in (cluster, local):
        assert service_names() <= set(tilt.local_resources)
        assert "nats" in tilt.names


def test_every_resource_is_labelled_and_depends_on_known_ones(cluster: Tilt, local: Tilt) -> None:
    for tilt in (cluster, local):
        for more in [*tilt.local_resources.values(), *tilt.k8s_resources.values()]:
            assert more["labels"]
            assert set(more.get("resource_deps", ())) <= tilt.names


def test_local_mode_touches_no_cluster(local: Tilt) -> None:
    assert local.images == {}
    assert local.objects == []
    assert local.k8s_resources == {}
    assert local.kinds == {}
    assert not any("kubectl" in more.get("serve_cmd", "") for more in local.local_resources.values())


def test_unknown_mode_is_refused() -> None:
    with pytest.raises((ValueError, starlark.StarlarkError), match="neither kubernetes nor local"):
        load_tiltfile(TILTFILE, mode="swarm")


def test_workloads_named_are_the_ones_applied(cluster: Tilt) -> None:
    applied = {
        (item["kind"], item["metadata"]["name"], item["metadata"].get("namespace"))
        for item in cluster.objects
    }
    for workload, more in cluster.k8s_resources.items():
        name, _, rest = workload.partition(":")
        kind, _, namespace = rest.partition(":")
        assert any(
            have[1] == name
            and (not kind or have[0].lower() == kind)
            and (not namespace or have[2] == namespace)
            and have[0] in {"Deployment", "StatefulSet", "DimseProxy"}
            for have in applied
        ), workload
        for fragment in more.get("objects", ()):
            name, kind = fragment.split(":")
            assert any(have[1] == name and have[0].lower() == kind for have in applied), fragment


def test_built_image_is_what_operator_and_resources_name(cluster: Tilt) -> None:
    (image,) = cluster.images
    path = cluster.kinds["DimseProxy"]["image_json_path"]
    assert path == "{.spec.proxy.image}"
    named = [item["spec"]["proxy"]["image"] for item in cluster.objects if item["kind"] == "DimseProxy"]
    operators = [
        container_of(item)
        for item in cluster.objects
        if item["kind"] == "Deployment" and item["metadata"]["name"] == "dimse-mesh-operator"
    ]
    assert cluster.images[image]["match_in_env_vars"] is True
    named += [container["image"] for container in operators]
    named += [item["value"] for one in operators for item in one["env"] if item["name"] == "PROXY_IMAGE"]
    assert len(named) == 4
    assert {name.partition(":")[0] for name in named} == {image}


def test_live_update_writes_where_the_development_image_imports_from(cluster: Tilt) -> None:
    (build,) = cluster.images.values()
    stage = Path("Dockerfile").read_text().partition(f" AS {build['target']}\n")[2].partition("\nFROM ")[0]
    copied = dict(re.findall(r"^COPY --chown=\S+ (\S+) (/src/\S+)$", stage, re.MULTILINE))
    synced = {step["local"]: step["remote"] for step in build["live_update"] if step["kind"] == "sync"}
    assert synced == copied
    (search,) = re.findall(r"^ENV PYTHONPATH=(\S+)$", stage, re.MULTILINE)
    assert set(search.split(":")) == set(synced.values())
    # Python namespace packages: all three hold a part of dimse_mesh.
    assert all((Path(source) / "dimse_mesh").is_dir() for source in synced)
    assert set(synced) | {"Dockerfile", "pyproject.toml"} <= set(build["only"])
    assert all(Path(path).exists() for path in build["only"])
    assert all(
        item.get("liveUpdate")
        for item in [r["spec"]["proxy"] for r in cluster.objects if "proxy" in r.get("spec", {})]
    )


def test_forwarded_ports_exist(cluster: Tilt) -> None:
    made = children(cluster)
    for name in service_names() | {f"{zone}-dicom" for zone in ZONES}:
        command = shlex.split(cluster.local_resources[name]["serve_cmd"])
        here, there = command[-1].split(":")
        if command[0] == "kubectl":
            namespace, target = (
                command[command.index("--namespace") + 1],
                command[-2].removeprefix("service/"),
            )
            ports = [port["port"] for port in made["Service", namespace, target]["spec"]["ports"]]
        else:
            script, namespace, zone, service, _ = command
            assert os.access(script, os.X_OK)
            deployment = made["Deployment", namespace, f"{zone}-{service}"]
            labels = deployment["spec"]["template"]["metadata"]["labels"]
            assert labels["app.kubernetes.io/instance"] == zone
            assert labels["app.kubernetes.io/component"] == service
            ports = [port["containerPort"] for port in container_of(deployment)["ports"]]
        assert int(there) in ports, name
        assert probed_port(cluster.local_resources[name]) == int(here)


def probed_port(resource: dict[str, Any]) -> int:
    probe = resource["readiness_probe"]
    action = probe.get("http_get") or probe["tcp_socket"]
    return int(action["port"])


def test_ports_on_this_machine_are_used_once(cluster: Tilt, local: Tilt) -> None:
    for tilt in (cluster, local):
        ports = [probed_port(more) for more in tilt.local_resources.values() if "readiness_probe" in more]
        ports += [
            forward["local_port"]
            for more in tilt.k8s_resources.values()
            for forward in more.get("port_forwards", ())
        ]
        assert len(ports) == len(set(ports))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("component", STANDING)
def test_local_service_listens_where_its_probe_looks(
    local: Tilt, zone: str, component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = local.local_resources[f"{zone}-{component.value}"]
    until, command = resource["serve_cmd"].partition(";")[0].split(" ", 1)
    assert until == "until"
    _, run, service, _, file = shlex.split(command)
    assert (run, service) == ("run", component.value)
    for name, value in resource["serve_env"].items():
        monkeypatch.setenv(name, value)
    document = yaml.safe_load(Path(file).read_text())
    settings = ZoneSettings.model_validate(document)
    assert settings.zone == zone
    assert settings.observability.http is not None
    assert settings.observability.http.port == probed_port(resource)
    assert file in resource["deps"]
    for listener in settings.association.listeners:
        assert listener.host == "127.0.0.1"


def test_local_zones_lead_to_the_demo_target(local: Tilt) -> None:
    cloud = ZoneSettings.model_validate(yaml.safe_load(Path("deploy/local/cloud.yaml").read_text()))
    target = cloud.scu.default_ae
    assert target is not None
    assert target.port == probed_port(local.local_resources["cloud-target"])
    hospital = ZoneSettings.model_validate(yaml.safe_load(Path("deploy/local/hospital.yaml").read_text()))
    (route,) = hospital.routes
    assert route.to is not None
    assert route.to.zone == cloud.zone


def test_buttons_wait_to_be_pressed(cluster: Tilt, local: Tilt) -> None:
    for tilt, names in (
        (cluster, {"echo", "demo", "kill a handler", "manifests"}),
        (local, {"echo", "demo", "kill a handler", "unit tests", "all tests"}),
    ):
        manual = {name for name, more in tilt.local_resources.items() if more.get("trigger_mode") == "manual"}
        assert manual == names
        assert all(tilt.local_resources[name]["auto_init"] is False for name in manual)


def test_killed_handler_is_one_that_runs(cluster: Tilt, local: Tilt) -> None:
    command = shlex.split(cluster.local_resources["kill a handler"]["cmd"])
    namespace = command[command.index("--namespace") + 1]
    wanted = dict(label.split("=") for label in command[command.index("--selector") + 1].split(","))
    pods = [
        item["spec"]["template"]["metadata"]["labels"]
        for (kind, where, _), item in children(cluster).items()
        if kind == "Deployment" and where == namespace
    ]
    assert len([labels for labels in pods if wanted.items() <= labels.items()]) == 1
    port = int(shlex.split(local.local_resources["kill a handler"]["cmd"])[-1])
    assert port == probed_port(local.local_resources["hospital-store"])


def test_every_service_links_to_its_traces(cluster: Tilt, local: Tilt) -> None:
    for tilt in (cluster, local):
        for name in service_names():
            links = {one["name"]: one["url"] for one in tilt.local_resources[name]["links"]}
            service = name.partition("-")[2]
            assert f"service=dimse-mesh-{service}&" in links["traces"]
        assert "jaeger" in tilt.names


def test_traces_can_be_left_out() -> None:
    for mode in ("kubernetes", "local"):
        tilt = load_tiltfile(TILTFILE, mode=mode, traces="off")
        assert "jaeger" not in tilt.names
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in str(tilt.local_resources)
        assert not any("otlpEndpoint" in str(item) for item in tilt.objects if item["kind"] == "DimseProxy")


def test_durable_routes_bring_a_delivery_service(durable: Tilt) -> None:
    for zone in ZONES:
        assert f"{zone}-delivery" in durable.local_resources
    if durable.objects:
        made = children(durable)
        assert ("Deployment", "zone-b", "cloud-delivery") in made
        text = made["ConfigMap", "zone-a", "hospital-association"]["data"]["zone.yaml"]
        assert yaml.safe_load(text)["routes"][0]["delivery"] == "durable"
    else:
        environment = durable.local_resources["hospital-association"]["serve_env"]
        (route,) = json.loads(environment["DIMSE_MESH_ROUTES"])
        assert route["delivery"] == "durable"
