"""Rules for priors that can't be followed are refused when the file is read."""

from __future__ import annotations

from typing import Any

import pytest

from dimse_mesh.runtime.settings import settings_from
from dimse_mesh.runtime.settings_errors import ConfigurationError

ZONE: dict[str, Any] = {
    "zone": "cloud",
    "events": {"enabled": True},
    "scu": {"remote_aes": [{"ae_title": "VIEWER", "host": "127.0.0.1", "port": 104}]},
}
RULE = {"pacs": "PACS", "to": "VIEWER"}


def test_a_rule_is_for_what_arrives_where_the_priors_go() -> None:
    settings = settings_from({**ZONE, "priors": {"rules": [RULE]}}, source="test")
    assert settings.priors.rules[0].arrivals == ("VIEWER",)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"events": {"enabled": False}}, "events.enabled: true"),
        (
            {"priors": {"rules": [{"pacs": "PACS", "to": "ELSEWHERE"}]}},
            "'ELSEWHERE' is none of scu.remote_aes",
        ),
        ({"priors": {"rules": [RULE, RULE]}}, "those of another rule"),
        ({"priors": {"rules": [{**RULE, "modalities": ["ct"]}]}}, "modalities"),
    ],
)
def test_a_rule_that_can_t_be_followed(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings_from({**ZONE, "priors": {"rules": [RULE]}, **change}, source="test")
    assert problem in "\n".join(caught.value.problems)
