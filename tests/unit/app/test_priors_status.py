"""What `priors status` says, before anything has come, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimse_mesh.app.priors import print_state
from dimse_mesh.app.priors_state import PriorsState
from dimse_mesh.runtime.settings_errors import ConfigurationError

ZONE = """
zone: cloud
scu: {{remote_aes: [{{ae_title: VIEWER, host: 127.0.0.1, port: 104}}]}}
events: {{enabled: true}}
priors: {{rules: {rules}, state: {state}}}
"""


def zone(tmp_path: Path, rules: str) -> Path:
    config = tmp_path / "cloud.yaml"
    config.write_text(ZONE.format(rules=rules, state=tmp_path / "priors.sqlite"))
    return config


def test_a_zone_without_rules_has_no_status(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        print_state(zone(tmp_path, "[]"))
    assert "there is no rule" in str(caught.value.problems)
    assert not list(tmp_path.glob("priors.sqlite*"))


def test_what_came_and_was_moved_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = zone(tmp_path, "[{pacs: PACS, to: VIEWER}]")
    assert print_state(config) == 0
    assert capsys.readouterr().out == "no new study has come yet\n"
    state = PriorsState(tmp_path / "priors.sqlite")
    state.arrived("1.1", "VIEWER")
    state.move("1.2", "VIEWER", "done")
    state.close()
    assert print_state(config) == 0
    assert capsys.readouterr().out.split("\n") == ["       1 new studies waiting", "       1 priors done", ""]
