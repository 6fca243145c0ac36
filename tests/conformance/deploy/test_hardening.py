"""The image and compose.yaml: no root, nothing writable but a temporary folder, no capability, no new privileges.

The same of the operator's pods: test_manifests.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(Path("compose.yaml").read_text())["services"]
OURS = sorted(name for name, one in SERVICES.items() if "dimse-mesh" in str(one.get("image")))


def test_what_runs_in_the_image_is_no_root() -> None:
    stages = re.split(r"(?m)^FROM ", Path("Dockerfile").read_text())
    runtime = next(stage for stage in stages if " AS runtime\n" in stage)
    assert re.search(r"(?m)^USER (\d+):(\d+)$", runtime).groups() == ("10001", "10001")  # type: ignore[union-attr]
    last = stages[-1]
    assert last.startswith("runtime AS service\n")
    assert not re.search(r"(?m)^(USER|RUN|ADD|COPY)", last), "what is built stands in the stages before"


def test_every_base_image_and_every_wheel_is_pinned() -> None:
    text = Path("Dockerfile").read_text()
    assert re.search(r"(?m)^ARG BASE=python:\d+\.\d+\.\d+-slim-\w+$", text)
    assert text.count("--require-hashes") == 2
    for install in re.findall(r"pip (?:install|wheel) [^;]*", text):
        assert "--require-hashes" in install or "--no-index" in install or "$@" in install


@pytest.mark.parametrize("name", OURS)
def test_compose_gives_our_services_nothing_to_write_and_no_privilege(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    assert "user" not in service
    assert "privileged" not in service


def test_all_ten_services_are_looked_at() -> None:
    assert len(OURS) == 10
