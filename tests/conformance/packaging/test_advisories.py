"""`make audit` fails where there is an advisory, and says it where none can be looked up: nothing isn't clean."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

FOUND = "Found 8 known vulnerabilities in 1 package"
CLEAN = "No known vulnerabilities found"

PIP_AUDIT = """#!/bin/sh
# Arguments as pip-audit takes them; the answers are the test's.
case "$*" in
    *"-service $KNOWING "*probe.txt*) echo "{found}" >&2; exit 1 ;;
    *"-service osv "*probe.txt*) echo "requests.exceptions.ConnectionError: no such host" >&2; exit 1 ;;
    *probe.txt*) echo "{clean}" >&2; echo "jinja2 Dependency not found on PyPI"; exit 0 ;;
    *"-service $KNOWING --strict --require-hashes "*"/$BAD.lock"*) echo "{found}" >&2; exit 1 ;;
    *"-service $KNOWING --strict --require-hashes "*) echo "{clean}" >&2; exit 0 ;;
esac
echo "called with $*"; exit 2
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Take the place of pip-audit: there is no way to its services from where tests run."""
    path = tmp_path / "pip-audit"
    path.write_text(PIP_AUDIT.format(found=FOUND, clean=CLEAN))
    path.chmod(0o755)
    return path


def run(program: Path, *, knowing: str, bad: str = "none") -> tuple[int, str]:
    """Return exit code and output; `knowing` is the service that knows of advisories, `bad` the lock that has one."""
    env = {**os.environ, "PIP_AUDIT": str(program), "KNOWING": knowing, "BAD": bad}
    done = subprocess.run(
        ["requirements/advisories"], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def test_where_no_service_knows_of_advisories_one_line_says_so_and_the_rest_goes_on(program: Path) -> None:
    code, output = run(program, knowing="nobody")
    assert code == 0
    (line,) = output.splitlines()
    assert line.startswith("advisories: NOT LOOKED UP")


@pytest.mark.parametrize("knowing", ["pypi", "osv"])
def test_where_one_does_every_lock_is_looked_up(program: Path, knowing: str) -> None:
    code, output = run(program, knowing=knowing)
    assert code == 0, output
    assert output.count(CLEAN) == 3
    for lock in ("runtime", "operator", "demo"):
        assert f"advisories for requirements/{lock}.lock, by {knowing}" in output


def test_an_advisory_fails_after_all_locks_were_looked_up(program: Path) -> None:
    code, output = run(program, knowing="pypi", bad="runtime")
    assert code == 1
    assert FOUND in output
    assert output.count(CLEAN) == 2
