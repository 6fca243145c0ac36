"""`dimse-mesh check` names every rewriting of AE titles whose way back isn't certain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dimse_mesh.app.untranslatable import untranslatable
from dimse_mesh.runtime.settings import settings_from
from tests.unit.app.test_cli import dimse_mesh, write

LISTENER = {"listeners": [{"host": "127.0.0.1", "port": 11112}]}


def lines(*remote_aes: dict[str, Any], association: dict[str, Any] | None = None) -> list[str]:
    settings = settings_from(
        {
            "zone": "cloud",
            "association": LISTENER if association is None else association,
            "scu": {"remote_aes": [{"host": "h", "port": 104, **remote} for remote in remote_aes]},
        },
        source="test",
    )
    return list(untranslatable(settings))


def test_certain_rewriting_is_silent() -> None:
    assert lines({"ae_title": "PACS"}) == []
    assert lines({"ae_title": "PACS", "called_ae": "REALPACS"}) == []
    assert lines({"ae_title": "PACS", "calling_ae": "MESH", "from_calling": ["CT1"]}) == []
    assert lines({"ae_title": "A"}, {"ae_title": "B"}, association={}) == []


def test_several_clients_behind_one_title_are_named() -> None:
    for allowed in ({}, {"from_calling": ["CT*"]}, {"from_calling": ["CT1", "CT2"]}):
        (line,) = lines({"ae_title": "PACS", "calling_ae": "MESH", **allowed})
        assert "PACS: calling_ae 'MESH' stands for several clients" in line


def test_targets_of_one_title_are_named() -> None:
    (line,) = lines({"ae_title": "A", "called_ae": "REAL"}, {"ae_title": "REAL"})
    assert "A, REAL are all called 'REAL'" in line


def test_title_that_is_an_ae_too_is_named() -> None:
    (line,) = lines({"ae_title": "PACS", "calling_ae": "MESH", "from_calling": ["CT1"]}, {"ae_title": "MESH"})
    assert "is an AE of this zone, too" in line


def test_zone_without_a_listener_is_named() -> None:
    (line,) = lines({"ae_title": "PACS", "called_ae": "REALPACS"}, association={})
    assert "this zone has no listener" in line


def test_check_says_so_and_succeeds(tmp_path: Path) -> None:
    text = "zone: cloud\nscu: {remote_aes: [{ae_title: A, host: h, port: 104, called_ae: B}]}\n"
    file = write(tmp_path / "zone.yaml", text)
    result = dimse_mesh("check", file)
    assert result.returncode == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{file}: scu.remote_aes: A: ")
