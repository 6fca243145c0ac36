"""`dimse-mesh policy explain`: what would happen, and which line of the file decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.app.test_cli import dimse_mesh

ZONE = """\
zone: hospital
association:
  listeners:
    - {port: 104, ae_titles: [PACS]}
    - {port: 2762}
policy:
  admission:
    - {effect: deny, calling: "OLD*"}
    - {effect: permit, user: "dr-*"}
    - {effect: permit, peers: [10.1.0.0/16]}
    - {effect: permit, certificate: {san: "*.hospital.example"}}
    - {effect: deny}
  operations:
    - {effect: deny, services: [N-DELETE]}
scu:
  remote_aes:
    - {ae_title: HERE, host: a, port: 104, from_zones: [clinic], from_calling: ["AI*"]}
routes:
  - {called: PACS, to: {zone: cloud}, allow: [C-STORE, C-GET]}
"""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["--from", "10.1.0.9"],
            0,
            ["admission  permitted policy.admission[2]", "routes[0]: to zone cloud, live"],
        ),
        (["--from", "10.2.0.9"], 1, ["admission  refused  policy.admission[4]: denied-by-policy"]),
        (["--from", "10.2.0.9", "--user", "dr-who"], 0, ["admission  permitted policy.admission[1]"]),
        (
            ["--from", "10.2.0.9", "--calling", "old1"],
            1,
            ["policy.admission[0].calling: ae-title-in-other-case"],
        ),
        (["--from", "10.1.0.9", "--calling", "CT\t1"], 1, ["always: malformed-ae-title"]),
        (["--from", "10.1.0.9", "--calling", "  "], 1, ["always: malformed-ae-title"]),
        (
            ["--from", "10.1.0.9", "--called", "HERE", "--listener", "2762"],
            1,
            ["target     refused  scu.remote_aes[0].from_zones: zone-not-allowed"],
        ),
        (
            ["--from", "10.9.9.9", "--called", "HERE", "--from-zone", "clinic"],
            1,
            ["target     refused  scu.remote_aes[0].from_calling: calling-ae-not-allowed"],
        ),
        (
            ["--from", "10.9.9.9", "--called", "HERE", "--from-zone", "clinic", "--calling", "AI1"],
            0,
            ["target     permitted"],
        ),
        (
            ["--from", "10.9.9.9", "--called", "ELSEWHERE", "--from-zone", "clinic"],
            1,
            ["target     refused  scu.remote_aes: this zone serves no AE ELSEWHERE"],
        ),
        (["--from", "10.2.0.9", "--san", "ct.hospital.example"], 0, ["policy.admission[3]"]),
        (["--from", "10.1.0.9", "--service", "c-store"], 0, ["operation  permitted routes[0].allow"]),
        (
            ["--from", "10.1.0.9", "--service", "C-FIND"],
            1,
            ["operation  refused  routes[0].allow: not_authorized"],
        ),
        (["--from", "10.1.0.9", "--service", "N-DELETE"], 1, ["policy.operations[0]: not_authorized"]),
        (["--from", "10.1.0.9", "--service", "C-STORE", "--from-target"], 0, ["routes[0].allow"]),
        (["--from", "10.1.0.9", "--service", "N-EVENT-REPORT", "--from-target"], 1, ["not_authorized"]),
    ],
)
def test_each_step_names_the_line_that_decides(
    tmp_path: Path, arguments: list[str], code: int, said: list[str]
) -> None:
    file = tmp_path / "hospital.yaml"
    file.write_text(ZONE)
    result = dimse_mesh(
        "policy", "explain", "--config", file, "--calling", "CT1", "--called", "PACS", *arguments
    )
    assert result.returncode == code, result.stdout + result.stderr
    for text in said:
        assert text in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--service", "C-PRINT"], "--service: 'C-PRINT' is none of C-ECHO"),
        (["--listener", "105"], "the zone hospital listens on no port 105"),
        (["--from", "pacs.local"], "--from: 'pacs.local' is no IP address"),
        (["--from", ""], "--from: '' is no IP address"),
    ],
)
def test_a_question_that_makes_no_sense_is_told(tmp_path: Path, arguments: list[str], said: str) -> None:
    file = tmp_path / "hospital.yaml"
    file.write_text(ZONE)
    result = dimse_mesh(
        *("policy", "explain", "--config", file, "--from", "10.1.0.1"),
        *("--calling", "CT1", "--called", "PACS", *arguments),
    )
    assert result.returncode == 2
    assert said in result.stderr


def test_a_route_by_origin_names_where_each_may_go(tmp_path: Path) -> None:
    path = tmp_path / "cloud.yaml"
    path.write_text(
        "zone: cloud\n"
        "routes:\n"
        "  - {calling: AI, delivery: durable, to: {ae: OTHER}, by_origin: {north: {ae: PACS}, south: {zone: south}}}\n"
    )
    done = dimse_mesh(
        "policy", "explain", "--config", path, "--from", "10.1.0.9", "--calling", "AI", "--called", "RESULTS"
    )
    expected = (
        "to AE PACS if its study came from zone north, zone south if its study came from zone south, else"
    )
    assert f"routes[0]: {expected} AE OTHER, durable" in " ".join(done.stdout.split())


def test_a_route_to_several_destinations_names_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "hospital.yaml"
    path.write_text(
        "zone: hospital\nroutes: [{to: [{ae: A}, {ae: A}, {ae: B}, {zone: cloud}], delivery: durable}]\n"
    )
    done = dimse_mesh(
        "policy", "explain", "--config", path, "--from", "10.1.0.9", "--calling", "CT", "--called", "PACS"
    )
    assert "routes[0]: to AE A and AE B and zone cloud, durable" in " ".join(done.stdout.split())


def test_another_zone_may_ask_for_the_default_target_by_any_title(tmp_path: Path) -> None:
    path = tmp_path / "cloud.yaml"
    path.write_text(
        "zone: cloud\nscu: {remote_aes: [{ae_title: A, host: a, port: 104, default: true, from_zones: [north]}]}\n"
    )
    asked = ("--config", path, "--from", "10.1.0.9", "--calling", "CT", "--called", "PACS", "--from-zone")
    assert dimse_mesh("policy", "explain", *asked, "north").returncode == 0
    refused = dimse_mesh("policy", "explain", *asked, "south")
    assert refused.returncode == 1
    assert "scu.remote_aes[0].from_zones: zone-not-allowed" in refused.stdout
