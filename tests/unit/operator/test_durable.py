"""Durable routes of a resource: what reaches the services' files, and the delivery service beside the others."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic.alias_generators import to_camel

from dimse_mesh.operator.crd import spec_schema
from dimse_mesh.operator.desired import desired_objects
from dimse_mesh.operator.names import Component, Manifest, Owner
from dimse_mesh.operator.zone import InvalidResourceError, parse_spec, zone_settings
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.runtime.settings_durable import DeliverySettings, SpoolSettings
from dimse_mesh.runtime.settings_retry import RetrySettings

TARGET = {"applicationEntityTitle": "PACS", "targetDimseHost": "pacs", "targetDimsePort": 104}
DURABLE = {"to": {"ae": "ARCHIVE"}, "also": [{"zone": "backup"}], "delivery": "durable"}
SPEC: dict[str, Any] = {"natsUrl": "nats:4222", "natsAllowPlaintext": True, **TARGET, "routes": [DURABLE]}


def objects_of(spec: dict[str, Any]) -> dict[tuple[str, str], Manifest]:
    objects = desired_objects(Owner("zone", "imaging", "uid-1"), parse_spec(spec), default_image="mesh:1")
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}


def zone_of(spec: dict[str, Any], component: Component) -> ZoneSettings:
    text = objects_of(spec)["ConfigMap", f"zone-{component.value}"]["data"]["zone.yaml"]
    return ZoneSettings.model_validate(yaml.safe_load(text))


def test_durable_route_reaches_the_front_end() -> None:
    accepts = [{"sopClass": "1.2.*", "transferSyntaxes": ["1.2.840.10008.1.2"]}]
    spec = {
        **SPEC,
        "routes": [{**DURABLE, "accepts": accepts}],
        "spool": {"domain": "hub", "maxBytes": 1 << 30},
    }
    zone = zone_of(spec, Component.ASSOCIATION)
    assert zone.is_durable
    assert [destination.ae or destination.zone for destination in zone.routes[0].destinations] == [
        "ARCHIVE",
        "backup",
    ]
    assert zone.routes[0].accepts is not None
    assert (zone.spool.domain, zone.spool.max_bytes) == ("hub", 1 << 30)


def test_a_delivery_service_runs_where_it_is_asked_for() -> None:
    assert not [name for kind, name in objects_of(SPEC) if name == "zone-delivery"]
    objects = objects_of({**SPEC, "delivery": {}})
    kinds = {kind for kind, name in objects if name == "zone-delivery"}
    assert kinds == {"ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget"}
    body = objects["Deployment", "zone-delivery"]["spec"]
    assert body["strategy"] == {"type": "Recreate"}
    assert body["replicas"] == 1
    assert body["template"]["spec"]["containers"][0]["args"][:2] == ["run", "delivery"]


def test_the_delivery_service_knows_the_targets_and_nobody_else_its_settings() -> None:
    spec = {**SPEC, "delivery": {"domains": [None, "hub"], "retry": {"longest": 60}}}
    zone = zone_of(spec, Component.DELIVERY)
    assert [remote.ae_title for remote in zone.scu.remote_aes] == ["PACS"]
    assert zone.delivery.domains == (None, "hub")
    assert zone.delivery.retry.longest == 60
    for component in set(Component) - {Component.DELIVERY}:
        assert "delivery" not in zone_settings(parse_spec(spec), component)


def test_what_names_listeners_or_aes_is_in_the_files_that_have_them() -> None:
    spec = {
        **SPEC,
        "listeners": [{"port": 104}],
        "delivery": {"pace": [{"ae": "PACS"}]},
        "settings": {
            "policy": {"admission": [{"effect": "deny", "listeners": [104]}]},
            "events": {"enabled": True},
            "priors": {"rules": [{"pacs": "VNA", "to": "PACS"}]},
        },
    }
    zones = {component: zone_of(spec, component) for component in Component}
    assert [component for component, zone in zones.items() if zone.policy.admission] == [
        Component.ASSOCIATION
    ]
    assert {component for component, zone in zones.items() if zone.priors.rules} == {
        Component.SCU,
        Component.DELIVERY,
    }


def test_a_name_of_nothing_is_told_with_the_path_of_its_setting() -> None:
    spec = {**SPEC, "delivery": {"pace": [{"ae": "PASC"}, {"ae": "VNA"}]}}
    with pytest.raises(InvalidResourceError) as caught:
        zone_settings(parse_spec(spec), Component.DELIVERY)
    assert [problem.partition(";")[0] for problem in caught.value.problems] == [
        "spec.settings.delivery.pace[0].ae: 'PASC' is none of scu.remote_aes",
        "spec.settings.delivery.pace[1].ae: 'VNA' is none of scu.remote_aes",
    ]


def test_a_pod_of_the_delivery_service_outlives_its_drain() -> None:
    for drain, grace in ((10, 60), (600, 630)):
        objects = objects_of({**SPEC, "delivery": {"drainTimeout": drain}})
        pod = objects["Deployment", "zone-delivery"]["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] == grace


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (SpoolSettings, ("spool",)),
        (DeliverySettings, ("delivery",)),
        (RetrySettings, ("delivery", "retry")),
    ],
)
def test_sections_have_the_fields_of_the_zones_file(model: Any, path: tuple[str, ...]) -> None:
    schema = spec_schema()
    for name in path:
        schema = schema["properties"][name]
    assert set(schema["properties"]) == {to_camel(name) for name in model.model_fields}
    assert "required" not in schema
    assert not any("default" in below for below in schema["properties"].values())


def test_every_field_of_the_sections_can_be_written() -> None:
    """In the names that the schema gives them: what is written comes back as the zone's file spells it."""
    spool = SpoolSettings().model_dump(mode="json", exclude_none=True)
    delivery = DeliverySettings().model_dump(mode="json", exclude_none=True)
    delivery["retry"] = {to_camel(name): value for name, value in delivery["retry"].items()}
    spec = parse_spec(
        {
            **SPEC,
            "spool": {to_camel(name): value for name, value in spool.items()},
            "delivery": {to_camel(name): value for name, value in delivery.items()},
        }
    )
    assert spec.spool == SpoolSettings()
    assert spec.delivery == DeliverySettings()
