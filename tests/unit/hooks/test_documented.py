"""The examples of docs/hooks.md work."""

from __future__ import annotations

import re
import sys
import textwrap
import types
from pathlib import Path

import pytest
import yaml

from dimse_mesh.dimse.encoding import EXPLICIT_LE
from dimse_mesh.hooks import HookRefusal
from dimse_mesh.hooks.chain import Chain
from dimse_mesh.runtime.settings_hooks import Hook, ProfileOption
from tests.unit.hooks.test_chain import decode, encode, made

PAGE = Path("docs/hooks.md").read_text()
BLOCKS = [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE, re.MULTILINE)]


def block(start: str) -> str:
    """Return the indented block that begins so."""
    (found,) = [text for text in BLOCKS if text.strip().startswith(start)]
    return found


def test_every_hook_that_is_shown_can_be_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "key"
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    module = types.ModuleType("hospital.hooks")
    exec(block("def tidy"), vars(module) | {"HookRefusal": HookRefusal}, vars(module))
    monkeypatch.setitem(sys.modules, "hospital", types.ModuleType("hospital"))
    monkeypatch.setitem(sys.modules, "hospital.hooks", module)
    shown = [
        *yaml.safe_load(block("# hospital.yaml"))["routes"][0]["hooks"],
        *yaml.safe_load(block("hooks:\n"))["hooks"],
    ]
    for hook in shown:
        for step in hook.values():
            if isinstance(step, dict) and "key_file" in step:
                step["key_file"] = str(key)
    assert {name for hook in shown for name in hook} >= {
        "set",
        "copy",
        "remove",
        "map",
        "hash",
        "python",
        "deidentify",
    }
    result = Chain([Hook.model_validate(hook) for hook in shown]).apply(encode(made()), EXPLICIT_LE)
    assert decode(result.header).PatientIdentityRemoved == "YES"


def test_every_option_is_explained() -> None:
    assert set(re.findall(r"`((?:retain|clean)-[a-z-]+)`", PAGE)) == {
        option.value for option in ProfileOption
    }
