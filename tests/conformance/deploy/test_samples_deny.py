"""Every shipped configuration rejects whom it doesn't name, and refuses what it doesn't name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dimse_mesh.dimse import CommandField
from dimse_mesh.operator.names import Component
from dimse_mesh.operator.render import resources_in
from dimse_mesh.operator.resource import KIND
from dimse_mesh.operator.zone import parse_spec, zone_settings
from dimse_mesh.policy import AdmissionQuestion, ConfiguredPolicy, OpeningQuestion, OperationQuestion, Side
from dimse_mesh.runtime.routing import DimseService
from dimse_mesh.runtime.settings import ZoneSettings

AS_IT_CAME = {"k8s/samples/original.yaml"}
"""The original product's own example, unchanged: it knows no policy."""
_FENCE = re.compile(r"^( *)```yaml\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def shipped() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each zone that is shipped, as its configuration, with where it stands."""
    for folder in ("examples", "deploy", "k8s"):
        for path in sorted(Path(folder).rglob("*.yaml")):
            if "templates" not in path.parts and "crd" not in str(path) and str(path) not in AS_IT_CAME:
                yield from zones_in(path)
    for path in sorted(Path("docs").rglob("*.md")):
        for number, match in enumerate(_FENCE.finditer(path.read_text())):
            indent, text = match.groups()
            for document in yaml.safe_load_all(re.sub(f"^{indent}", "", text, flags=re.MULTILINE)):
                yield from ((f"{path}[{number}]", zone) for zone in zones_of(document))


def zones_in(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the zones in a file."""
    if path.name in {"values.yaml", "Chart.yaml"}:
        return
    for document in yaml.safe_load_all(path.read_text()):
        for number, zone in enumerate(zones_of(document)):
            yield f"{path}[{number}]", zone


def zones_of(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the zones that a document describes: a zone's file, a resource, or a chart's values."""
    if not isinstance(document, dict):
        return
    if isinstance(document.get("zone"), str) and ("association" in document or "scu" in document):
        yield document
    specs = [document["spec"]] if document.get("kind") == KIND else []
    values = document.get("dimse-mesh", document)
    specs += (values.get("zones") or {}).values() if "apiVersion" not in values else []
    for spec in specs:
        parsed = parse_spec(spec)
        parts = [zone_settings(parsed, component) for component in (Component.ASSOCIATION, Component.SCU)]
        yield {**parts[0], "scu": parts[1]["scu"]}


SHIPPED = dict(shipped())


def test_they_are_found() -> None:
    assert len(SHIPPED) >= 24
    assert {name.partition("/")[0] for name in SHIPPED} == {"examples", "deploy", "k8s", "docs"}
    assert resources_in(Path("k8s/samples/original.yaml"))


def settings_of(document: dict[str, Any]) -> ZoneSettings:
    """Return a zone's settings; files that only the deployment has don't count."""
    text = yaml.safe_dump(document)
    return ZoneSettings.model_validate(_without_files(yaml.safe_load(text)))


def _without_files(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            name: _without_files(value)
            for name, value in node.items()
            if name not in {"tls", "nats", "hooks"}
        }
    return [_without_files(item) for item in node] if isinstance(node, list) else node


@pytest.mark.parametrize("name", SHIPPED)
def test_a_stranger_is_rejected(name: str) -> None:
    settings = settings_of(SHIPPED[name])
    policy = ConfiguredPolicy.of(settings)
    for listener in settings.association.listeners:
        for called in ("PACS", "ARCHIVE", "ANY"):
            question = AdmissionQuestion(
                peer_host="203.0.113.9",
                port=listener.port,
                certificate=None,
                called_ae=called,
                calling_ae="STRANGER",
                protocol_version=1,
                user_identity=None,
                listener=listener.ae_titles,
                open_associations=0,
                draining=False,
            )
            assert policy.admission(question) is not None, called


@pytest.mark.parametrize("name", SHIPPED)
def test_a_service_that_is_not_named_is_refused(name: str) -> None:
    """N-DELETE is in none of them."""
    settings = settings_of(SHIPPED[name])
    policy = ConfiguredPolicy.of(settings)
    rules = [rule for rule in settings.policy.admission if rule.effect == "permit"]
    for rule in rules:
        for called in (rule.called, *(route.called for route in settings.routes)):
            question = OperationQuestion(
                command_field=CommandField.N_DELETE_RQ,
                service=DimseService.N_DELETE.value,
                called_ae=_example(rule.called if rule.called != "*" else called),
                calling_ae=_example(rule.calling),
                from_client=True,
            )
            assert policy.operation(question) is not None, question


@pytest.mark.parametrize("name", SHIPPED)
def test_a_zone_that_a_target_does_not_name_is_rejected(name: str) -> None:
    settings = settings_of(SHIPPED[name])
    policy = ConfiguredPolicy.of(settings)
    for remote in settings.scu.remote_aes:
        question = OpeningQuestion(
            side=Side.EXECUTOR,
            from_zone="stranger",
            called_ae=remote.ae_title,
            calling_ae="CT1",
            target=remote.ae_title,
        )
        assert policy.opening(question) is not None, remote.ae_title


def _example(pattern: str) -> str:
    """Return a title that a pattern matches."""
    return pattern.replace("*", "X").replace("?", "X")
