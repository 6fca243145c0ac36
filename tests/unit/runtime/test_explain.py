"""What people are told of a failure: one line, and of a file which one it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimse_mesh.mesh.errors import MeshUnavailable
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.process import explain


def test_a_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    for fail in (missing.read_text, missing.unlink):
        with pytest.raises(OSError, match="none") as caught:
            fail()
        assert explain(ExceptionGroup("", [caught.value])) == f"{missing}: No such file or directory"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("Multiple exceptions"), "Multiple exceptions"),
        (StartError("no"), "no"),
        (MeshUnavailable("closed"), "NATS: closed"),
        (ValueError("ours"), None),
    ],
)
def test_what_people_can_do_nothing_about_is_not_explained(error: Exception, line: str | None) -> None:
    assert explain(error) == line
