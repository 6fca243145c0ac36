"""What `desired_objects` makes of a resource: golden files, and rules that hold for every resource."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from dimse_mesh.operator.desired import desired_objects
from dimse_mesh.operator.names import Component, Manifest, Owner
from dimse_mesh.operator.peers import RemoteAeSpec
from dimse_mesh.operator.render import resources_in, to_yaml
from dimse_mesh.operator.routes import RouteSpec
from dimse_mesh.operator.zone import InvalidResourceError, components, parse_spec
from dimse_mesh.runtime import routing, settings_scu
from dimse_mesh.runtime.settings import ZoneSettings

SAMPLES = Path("k8s/samples")
GOLDEN = Path(__file__).parent / "golden"
AE_Y = {"aeTitle": "Y", "host": "pacs", "port": 104}
MINIMAL = {"natsUrl": "nats:4222", "natsAllowPlaintext": True}


def sample(name: str) -> Manifest:
    return resources_in(SAMPLES / f"{name}.yaml")[0]


def objects_of(spec: dict[str, Any], **more: Any) -> dict[tuple[str, str], Manifest]:
    owner = Owner("zone", "imaging", "uid-1")
    objects = desired_objects(owner, parse_spec(spec), default_image="dimse-mesh:1", **more)
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}


def zone_file(objects: dict[tuple[str, str], Manifest], component: str) -> dict[str, Any]:
    text = objects["ConfigMap", f"zone-{component}"]["data"]["zone.yaml"]
    document = yaml.safe_load(text)
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("name", ["original", "full"])
def test_golden_objects(name: str) -> None:
    """`UPDATE_GOLDEN=1 pytest` writes the files anew; read the diff before you commit it."""
    resource = sample(name)
    owner = Owner(resource["metadata"]["name"], "imaging", "00000000-0000-0000-0000-000000000001")
    known = {"nats-credentials": "17", "listener-1-cert": "4"}
    objects = desired_objects(
        owner, parse_spec(resource["spec"]), default_image="dimse-mesh:0.1.0", secret_digests=known
    )
    text = to_yaml(objects)
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text)
    assert text == path.read_text()


def test_original_example_sends_what_arrives_at_a_to_b() -> None:
    objects = objects_of(sample("original")["spec"])
    zone = zone_file(objects, "association")
    assert zone["zone"] == "A"
    assert zone["routes"] == [{"called": "*", "calling": "*", "to": {"zone": "B"}, "delivery": "live"}]
    assert zone["nats"]["servers"] == ["tls://0a0527d6.nip.io:443"]
    target = zone_file(objects, "scu")["scu"]["remote_aes"]
    assert target == [
        {
            "ae_title": "DICOM-INGEST",
            "host": "dcm4che.dcm4che.svc.cluster.local",
            "port": 31285,
            "default": True,
        }
    ]
    ports = objects["Service", "zone"]["spec"]["ports"]
    assert [port["port"] for port in ports] == [11112]


@pytest.mark.parametrize(("channel", "peer"), [("A", "B"), ("B", "A")])
def test_channel_routes_to_its_counterpart(channel: str, peer: str) -> None:
    zone = zone_file(objects_of({**MINIMAL, "natsSubjectChannel": channel}), "association")
    assert [route["to"] for route in zone["routes"]] == [{"zone": peer}]


def test_other_channel_has_no_route_unless_it_is_given() -> None:
    assert zone_file(objects_of({**MINIMAL, "natsSubjectChannel": "x"}), "association")["routes"] == []
    named = objects_of({**MINIMAL, "natsSubjectChannel": "x", "peerChannel": "y"})
    assert [route["to"] for route in zone_file(named, "association")["routes"]] == [{"zone": "y"}]


def test_own_routes_come_before_the_peer_channel() -> None:
    zone = zone_file(
        objects_of({**MINIMAL, "routes": [{"called": "X*", "to": {"ae": "XRAY"}}]}), "association"
    )
    assert [route["to"] for route in zone["routes"]] == [{"ae": "XRAY"}, {"zone": "B"}]


SERVICES = [
    (name, component)
    for name in ("original", "full")
    for component in components(parse_spec(sample(name)["spec"]))
]


@pytest.mark.parametrize(("name", "component"), SERVICES)
def test_zone_file_satisfies_the_services_settings(name: str, component: Component, tmp_path: Path) -> None:
    text = yaml.safe_dump(zone_file(objects_of(sample(name)["spec"]), component.value))
    # The files that only the pod has, as the kubelet would put them.
    for path in {word for word in text.split() if word.startswith("/etc/dimse-mesh-secrets/")}:
        here = tmp_path / path.lstrip("/")
        here.parent.mkdir(parents=True, exist_ok=True)
        here.touch()
    document = yaml.safe_load(
        text.replace("/etc/dimse-mesh-secrets", str(tmp_path / "etc/dimse-mesh-secrets"))
    )
    settings = ZoneSettings.model_validate(document)
    assert settings.observability.http is not None


def test_keys_are_mounted_only_where_they_are_used() -> None:
    objects = objects_of(sample("full")["spec"])

    def volumes(component: str) -> set[str]:
        pod = objects["Deployment", f"zone-{component}"]["spec"]["template"]["spec"]
        return {volume["name"] for volume in pod["volumes"] if "secret" in volume}

    nats = {"nats-credentials", "nats-ca", "nats-cert"}
    assert volumes("store") == nats
    endpoint = nats | {"encryption-keys"}
    assert volumes("association") == endpoint | {"listener-1-cert", "listener-1-ca"}
    assert volumes("scu") == endpoint | {"target-ca", "target-cert", "ae-1-ca"}
    assert volumes("delivery") == volumes("scu")


def test_token_never_stands_in_a_config_map_or_in_the_environment() -> None:
    objects = objects_of({**MINIMAL, "natsTokenSecret": "mesh-token"})
    assert zone_file(objects, "store")["nats"]["token_file"].endswith("/nats-token/token")
    container = objects["Deployment", "zone-store"]["spec"]["template"]["spec"]["containers"][0]
    assert [variable["name"] for variable in container["env"]] == ["OTEL_SERVICE_NAME"]


def digests(objects: dict[tuple[str, str], Manifest]) -> dict[str, dict[str, str]]:
    return {
        name: {
            key: value
            for key, value in item["spec"]["template"]["metadata"]["annotations"].items()
            if key.startswith("imaging-ingestion")
        }
        for (kind, name), item in objects.items()
        if kind == "Deployment"
    }


def test_changed_target_rolls_the_executor_only() -> None:
    target = {"applicationEntityTitle": "X", "targetDimseHost": "a", "targetDimsePort": 104}
    before = digests(objects_of({**MINIMAL, **target}))
    after = digests(objects_of({**MINIMAL, **target, "targetDimsePort": 105}))
    assert {name for name in before if before[name] != after[name]} == {"zone-scu"}


def test_renewed_secret_rolls_the_pods_that_use_it() -> None:
    spec = {**MINIMAL, "listeners": [{"tls": {"secretName": "cert"}}]}
    before = digests(objects_of(spec, secret_digests={"listener-0-cert": "1"}))
    after = digests(objects_of(spec, secret_digests={"listener-0-cert": "2"}))
    assert {name for name in before if before[name] != after[name]} == {"zone-association"}


def test_autoscaler_owns_the_replicas() -> None:
    objects = objects_of(
        {**MINIMAL, "services": {"store": {"replicas": 4, "autoscaling": {}}, "scu": {"replicas": 2}}}
    )
    assert "replicas" not in objects["Deployment", "zone-store"]["spec"]
    assert objects["Deployment", "zone-scu"]["spec"]["replicas"] == 2
    scaler = objects["HorizontalPodAutoscaler", "zone-store"]["spec"]
    assert scaler["metrics"][0]["pods"]["metric"]["name"] == "dimse_mesh_handler_operations"


def test_pods_outlive_their_drain() -> None:
    objects = objects_of({**MINIMAL, "drainSeconds": 900})
    for component in ("association", "scu"):
        pod = objects["Deployment", f"zone-{component}"]["spec"]["template"]["spec"]
        stop = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
        assert pod["terminationGracePeriodSeconds"] > 900 + stop
        assert zone_file(objects, component)[component]["drain_timeout"] == 900


def test_service_keeps_client_addresses_when_reached_from_outside() -> None:
    for kind in ("NodePort", "LoadBalancer"):
        service = objects_of({**MINIMAL, "exposure": {"type": kind}})["Service", "zone"]["spec"]
        assert service["externalTrafficPolicy"] == "Local"
    assert "externalTrafficPolicy" not in objects_of(MINIMAL)["Service", "zone"]["spec"]


def test_long_names_stay_distinct_and_short_enough() -> None:
    names = {Owner(f"{'x' * 80}{end}", "n", "u").child(part) for end in "ab" for part in ("", *Component)}
    assert len(names) == 2 * (1 + len(Component))
    assert max(map(len, names)) <= 63


INVALID = [
    ({}, "spec.natsUrl: "),
    ({"natsUrl": "nats://host:4222"}, "spec.natsUrl: host:port without a scheme"),
    ({**MINIMAL, "targetDimsePort": 70000}, "spec.targetDimsePort: "),
    ({**MINIMAL, "applicationEntityTitle": "SEVENTEEN-LETTERS"}, "spec.applicationEntityTitle: "),
    ({**MINIMAL, "applicationEntityTitle": "A\\B"}, "spec.applicationEntityTitle: "),
    ({**MINIMAL, "targetDimseHost": "a"}, "go together"),
    ({**MINIMAL, "natsTls": {}}, "natsTls needs natsSecure"),
    ({**MINIMAL, "natsTokenSecret": "a", "natsNkeySecret": "b"}, "at most one of natsTokenSecret"),
    ({**MINIMAL, "listeners": [{"port": 104}, {"port": 104}]}, "two listeners"),
    (
        {**MINIMAL, "listeners": [{"tls": {"secretName": "a", "requireClientCert": True}}]},
        "spec.listeners[0].tls: ",
    ),
    ({**MINIMAL, "routes": [{"to": {}}]}, "spec.routes[0].to: "),
    ({**MINIMAL, "unknown": 1}, "spec.unknown: "),
    (
        {**MINIMAL, "services": {"store": {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}}},
        "maxReplicas",
    ),
    ({**MINIMAL, "services": {"scu": {"autoscaling": {"scaler": "keda"}}}}, "prometheusUrl"),
    ({**MINIMAL, "settings": {"mesh": {"window": 1}}}, "spec.settings.mesh.window: "),
    ({**MINIMAL, "settings": {"nats": {"token": "s3cret"}}}, "spec.settings.nats.token: belongs in a Secret"),
]


@pytest.mark.parametrize(("spec", "text"), INVALID, ids=[text for _, text in INVALID])
def test_invalid_resource_is_refused_with_the_field_named(spec: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidResourceError) as caught:
        objects_of(spec)
    assert any(text in problem for problem in caught.value.problems)
    assert "s3cret" not in str(caught.value)


def test_every_field_of_a_route_and_of_a_remote_ae_can_be_written_in_the_resource() -> None:
    """Those of the zone's file that the resource leaves out are named here; `settings` reaches only whole sections."""
    for ours, theirs, left_out in (
        (RouteSpec, routing.Route, {"by_origin", "hooks"}),  # in settings.routes
        (
            RemoteAeSpec,
            settings_scu.RemoteAe,
            # storage: in settings.scu.remote_aes
            {
                "connect_timeout",
                "association_timeout",
                "idle_timeout",
                "storage",
            },
        ),
    ):
        assert set(theirs.model_fields) - set(ours.model_fields) == left_out & set(theirs.model_fields)


def test_encryption_reaches_the_zone_and_its_keys_the_pods_of_endpoints() -> None:
    known = {"zone": "B", "publicKeys": ["A" * 43 + "="]}
    encryption = {"keysSecret": "zone-keys", "keyFiles": ["1.key", "2.next"], "zones": [known]}
    routes = [{"called": "X*", "to": {"ae": "Y"}, "encryption": "required"}]
    delivery: dict[str, Any] = {}
    objects = objects_of(
        {**MINIMAL, "encryption": encryption, "routes": routes, "delivery": delivery, "remoteAEs": [AE_Y]}
    )
    folder = "/etc/dimse-mesh-secrets/encryption-keys"
    for service in ("association", "scu", "delivery", "store"):
        zone = zone_file(objects, service)
        assert zone["encryption"] == {"keys": folder, "zones": {"B": known["publicKeys"]}, "required": False}
        assert zone["routes"][0]["encryption"] == "required"
        ZoneSettings.model_validate(zone)
        pod = objects["Deployment", f"zone-{service}"]["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert ("encryption-keys" in volumes) == (service != "store")
        if service != "store":
            secret = volumes["encryption-keys"]["secret"]
            assert secret["secretName"] == "zone-keys"
            assert [item["key"] for item in secret["items"]] == ["1.key", "2.next"]
            mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
            assert mounts["encryption-keys"] == folder


def test_what_a_route_says_reaches_the_zone() -> None:
    routes = [{"called": "X*", "calledAE": "Y", "callingAE": "Z", "allow": ["C-ECHO"], "allowFromTarget": []}]
    zone = zone_file(objects_of({**MINIMAL, "routes": routes}), "association")
    expected = {"called": "X*", "called_ae": "Y", "calling_ae": "Z", "allow": ["C-ECHO"]}
    assert zone["routes"][0].items() >= {**expected, "allow_from_target": []}.items()
    ZoneSettings.model_validate(zone)


def test_scheduling_reaches_the_pods_and_leaves_our_labels_alone() -> None:
    service = {
        "tolerations": [{"key": "dmz", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
        ],
        "priorityClassName": "imaging",
        "podLabels": {"team": "imaging", "app.kubernetes.io/instance": "other"},
        "podAnnotations": {"a": "b"},
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    }
    objects = objects_of({**MINIMAL, "services": {"store": service}})
    template = objects["Deployment", "zone-store"]["spec"]["template"]
    pod = template["spec"]
    assert pod["tolerations"] == service["tolerations"]
    assert pod["affinity"] == service["affinity"]
    assert pod["topologySpreadConstraints"] == service["topologySpreadConstraints"]
    assert pod["priorityClassName"] == "imaging"
    assert pod["volumes"][-1] == {"name": "more", "emptyDir": {}}
    assert pod["containers"][0]["volumeMounts"][-1] == {"name": "more", "mountPath": "/more"}
    assert template["metadata"]["labels"]["team"] == "imaging"
    assert template["metadata"]["labels"]["app.kubernetes.io/instance"] == "zone"
