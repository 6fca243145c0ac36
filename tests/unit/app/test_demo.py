"""The demo is the product's own first test: it must succeed, and it must be able to fail."""

from __future__ import annotations

import shutil
from pathlib import Path

from dimse_mesh.app import demo
from dimse_mesh.app.demo_mesh import DemoMesh
from tests.unit.app.test_cli import dimse_mesh


def test_demo_succeeds() -> None:
    result = dimse_mesh("demo", timeout=180)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count(" identical") >= demo.WANTED_SYNTAXES
    assert "FAILED" not in result.stdout
    assert "ms through the mesh" in result.stdout
    assert result.stderr == ""


def test_object_that_differs_in_the_archive_is_found(tmp_path: Path) -> None:
    import subprocess

    index = tmp_path / "index.txt"
    index.write_text("port\n")
    syntax, files = next(iter(demo.sample_files().items()))
    report = demo.Report(rows={name: demo.Row() for name in demo.sample_files()})
    with subprocess.Popen([shutil.which("true") or "true"], text=True) as process:
        demo._compare(DemoMesh(0, 0, 0, index, process), report)
    assert len(report.rows[syntax].failures) == len(files)
    assert "not found byte-identical" in report.failures[0]
