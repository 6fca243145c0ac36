"""DCMTK, Orthanc and pynetdicom as clients and targets of each other: through the mesh as directly.

`make interop` has more peers, and prints the table of docs/interoperability.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.peers.cast import CLIENTS_IN_CI, TARGETS_IN_CI
from tests.interop.peers.meeting import TLS, Meeting, Meetings, Result
from tests.interop.peers.model import Client, Outcome, Service, Target
from tests.interop.peers.site import Site, running_site
from tests.interop.peers.table import table


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.mark.parametrize("target", TARGETS_IN_CI, ids=lambda one: one.name)
@pytest.mark.parametrize("client", CLIENTS_IN_CI, ids=lambda one: one.name)
def test_client_and_target_get_from_each_other_what_they_get_directly(
    site: Site, tmp_path: Path, client: Client, target: Target
) -> None:
    meeting = Meetings(site, tmp_path / "meeting", pdus=False).meet(client, target)
    assert meeting.differences() == []
    common = client.services & target.services
    assert common <= set(meeting.mesh)
    for what, result in meeting.mesh.items():
        if what == Service.STORE:  # not every peer takes every transfer syntax
            assert len(result.arrived) > 3
        else:
            assert result.good, f"{what}: {result.outcome.output[-2000:]}"


def test_a_difference_is_told_and_shown() -> None:
    good, bad = Result(Outcome(True, (0,))), Result(Outcome(False, (1,), "what it printed"))
    meeting = Meeting("one", "other", {Service.ECHO: good, TLS: good}, {Service.ECHO: bad, TLS: good})
    (told,) = meeting.differences()
    assert "one with other, C-ECHO" in told
    assert "what it printed" in told
    assert "| one | other | **differs** |" in table([meeting])
    same = Meeting("one", "other", {Service.ECHO: bad}, {Service.ECHO: bad})
    assert same.differences() == []
    assert "| one | other | fails direct, too |" in table([same])
