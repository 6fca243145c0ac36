"""Any order of edits of a DimseProxy: each is refused with a line, or makes the same objects of its own namespace.

What is edited may be anything that JSON can say: an API server without our schema stores it.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from dimse_mesh.operator.desired import desired_objects
from dimse_mesh.operator.names import Manifest, Owner
from dimse_mesh.operator.resource import DimseProxySpec
from dimse_mesh.operator.zone import InvalidResourceError, parse_spec
from dimse_mesh.runtime.settings import ZoneSettings

OWNER = Owner(namespace="imaging", name="edited", uid="1-2-3")
VALID: dict[str, Any] = {
    "applicationEntityTitle": "PACS",
    "targetDimseHost": "10.0.0.1",
    "targetDimsePort": 104,
    "natsUrl": "tls://nats:4222",
    "natsSubjectRoot": "DIMSE",
    "natsSubjectChannel": "A",
}
FIELDS = sorted(field.alias or name for name, field in DimseProxySpec.model_fields.items())
SETTINGS = sorted(ZoneSettings.model_fields)
HOSTILE = [
    "",
    "..",
    "/etc/passwd",
    "a" * 300,
    "$(x)",
    "{{x}}",
    "a\nb: c",
    "\u0000",
    "*",
    "-1",
    "\u017f",
    "nats://u:p@h",
]
_NAMES = st.sampled_from([*FIELDS, *SETTINGS, "x"])
_NUMBERS = st.integers(-(1 << 40), 1 << 40) | st.floats()
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.sampled_from(HOSTILE) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=6,
)


class Editor(RuleBasedStateMachine):
    """Somebody who may edit one DimseProxy."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = copy.deepcopy(VALID)

    @rule(field=st.sampled_from(FIELDS), value=VALUES)
    def edit(self, field: str, value: Any) -> None:
        self.spec[field] = value

    @rule(section=st.sampled_from(SETTINGS), value=VALUES)
    def edit_settings(self, section: str, value: Any) -> None:
        given = self.spec.get("settings")
        self.spec["settings"] = {**given, section: value} if isinstance(given, dict) else {section: value}

    @rule(field=st.sampled_from(FIELDS))
    def take_back(self, field: str) -> None:
        if field in VALID:
            self.spec[field] = VALID[field]
        else:
            self.spec.pop(field, None)

    @rule()
    def start_again(self) -> None:
        self.spec = copy.deepcopy(VALID)

    @invariant()
    def it_is_refused_or_made(self) -> None:
        try:
            made = self._made()
        except InvalidResourceError:
            return
        assert json.dumps(made) == json.dumps(self._made())
        for item in made:
            assert item["metadata"]["namespace"] == OWNER.namespace
            assert item["metadata"]["name"].startswith(OWNER.name)
            assert [one["uid"] for one in item["metadata"]["ownerReferences"]] == [OWNER.uid]
            for text in item.get("data", {}).values():
                assert isinstance(yaml.safe_load(text), dict)

    def _made(self) -> list[Manifest]:
        return desired_objects(OWNER, parse_spec(copy.deepcopy(self.spec)), default_image="dimse-mesh")


def test_every_edit_is_refused_or_carried_out() -> None:
    run_state_machine_as_test(Editor, settings=settings(max_examples=30, stateful_step_count=15))
