"""How tests are shared out among processes (`make test`): what shares costly fixtures stays together.

And what they say at the end, from whichever process (properties of the name `SAID`); and what keeps a busy machine from
failing them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.support.stalls import Stalls

TOGETHER = {
    "tests/cluster/": "cluster",
    "tests/interop/deploy/": "containers",
    "tests/conformance/deploy/": "containers",
}
"""Folder -> group of tests that run one after the other: with one API server, with one container engine."""
SAID = "said"
"""Name of a property (pytest's `record_property`) whose value is printed at the end."""

# How long an example takes says something of the machine.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture
def stalls() -> Iterator[Stalls]:
    """When the machine stood still during the test."""
    with Stalls() as watched:
        yield watched


class ByGroup(LoadScopeScheduling):
    """Gives each process one group after the other; the group of most tests is their file."""

    def _split_scope(self, nodeid: str) -> str:
        for folder, group in TOGETHER.items():
            if nodeid.startswith(folder):
                return group
        return nodeid.partition("::")[0]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests that have passed want said."""
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in report.user_properties:
            if name == SAID:
                terminalreporter.write_line(str(value))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByGroup:
    """Share out by group."""
    return ByGroup(config, log)
