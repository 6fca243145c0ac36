"""Key files of hooks: a path that is relative to where the service starts is good for the process of the hooks, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimse_mesh.runtime.settings_hooks import Hook


def test_a_relative_key_file_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hook = Hook.model_validate({"deidentify": {"key_file": "research.key"}})
    assert hook.deidentify is not None
    assert hook.deidentify.key_file == tmp_path / "research.key"
