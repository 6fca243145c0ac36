"""Every key of one zone, leaked, tried against every subject of two others that have all that a zone can have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import nats
import pytest

from dimse_mesh.app.nats_config import facts_of
from dimse_mesh.mesh.violation import Violation
from dimse_mesh.nats_server.accounts import LISTENER, MONITOR
from dimse_mesh.nats_server.permissions import (
    Permissions,
    ZoneFacts,
    meeting,
    permissions_of,
    permissions_of_listener,
    permissions_of_monitor,
)
from dimse_mesh.runtime.settings import settings_from
from dimse_mesh.schemas.addresses import Role
from tests.support.mesh import zone_config
from tests.support.nats import NatsServer, nats_server
from tests.support.permitted import Bus

pytestmark = pytest.mark.anyio

LAB = "lab"
ROLES = (*(role.value for role in Role), MONITOR, LISTENER)
SHARED = re.compile(r"(DIMSE\.(live|dead)|\$SRV|_INBOX)(\..*)?|DIMSE\.(live|dead)\..*")
"""What is for everybody: heartbeats, obituaries, and what tools ask."""
EVERYTHING = (
    ">",
    "DIMSE.>",
    "*.>",
    "DIMSE.*.>",
    "DIMSE.i.>",
    "$JS.>",
    "$JS.API.>",
    "$SYS.>",
    "$KV.>",
    "_INBOX.>",
)
JETSTREAM = ("INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.CREATE.x", "STREAM.DELETE.x", "CONSUMER.CREATE.x")


def configurations() -> list[dict[str, Any]]:
    """Return two zones with durable routes of each kind, events, targets; and the lab, which has nothing but itself."""
    file = str(Path(__file__))
    hospital = {
        "events": {"enabled": True},
        "routes": [
            {
                "called": "KEEP",
                "to": [{"ae": "PACS"}, {"zone": "cloud"}],
                "delivery": "durable",
                "commitment": "target",
            },
            {
                "called": "CHANGED",
                "to": {"ae": "PACS"},
                "delivery": "durable",
                "hooks": [{"deidentify": {"key_file": file}}],
            },
            {
                "called": "BACK",
                "delivery": "durable",
                "by_origin": {"cloud": {"ae": "PACS"}},
                "to": {"ae": "HERE"},
            },
        ],
    }
    here = {"ae_title": "HERE", "host": "127.0.0.1", "port": 104, "max_associations": 2}
    pacs = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "default": True, "max_associations": 2}
    return [
        zone_config("hospital", listener=11112, remote_aes=[here], more=hospital),
        zone_config("cloud", remote_aes=[pacs], more={"events": {"enabled": True}}),
        zone_config(LAB, listener=11113, more={"events": {"enabled": True}}),
    ]


@pytest.fixture(scope="module")
def zones() -> list[ZoneFacts]:
    return meeting([facts_of(settings_from(one, source=one["zone"])) for one in configurations()])


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, zones: list[ZoneFacts]
) -> Iterator[tuple[NatsServer, Bus]]:
    directory = tmp_path_factory.mktemp("leaked")
    bus = Bus(directory / "bus", zones)
    with nats_server(directory / "nats", config=bus.one_server()) as started:
        yield started, bus


def permitted(facts: ZoneFacts, role: str) -> Permissions:
    """Return what a user of a zone may do."""
    if role == MONITOR:
        return permissions_of_monitor(facts.root)
    if role == LISTENER:
        return permissions_of_listener(facts)
    return permissions_of(facts, Role(role))


def of_others(zones: Sequence[ZoneFacts]) -> tuple[list[str], list[str]]:
    """Return what the users of the other zones may publish, in full, and what they may hear."""
    publish, hear = set[str](), set[str]()
    for facts in zones:
        if facts.zone != LAB:
            for role in ROLES:
                granted = permitted(facts, role)
                publish |= {_filled(subject) for subject in granted.publish}
                hear |= {subject.partition(" ")[0] for subject in granted.subscribe}
    return sorted(publish), sorted(hear)


def _filled(pattern: str) -> str:
    """Return a subject of a pattern."""
    return pattern.replace("*", "x").replace(">", "x.y")


def _lower(subjects: Sequence[str]) -> set[str]:
    """Return subjects as the client library tells of them."""
    return {subject.lower() for subject in subjects}


async def refused(url: str, seed: Path, publish: Sequence[str], hear: Sequence[str]) -> set[Violation]:
    """Publish and subscribe to all of these as one user; return what nats-server says that it may not."""
    said: set[Violation] = set()

    async def heard(error: Exception) -> None:
        violation = Violation.of(str(error))
        assert violation is not None, error
        said.add(violation)

    client = await nats.connect(url, nkeys_seed=str(seed), error_cb=heard, allow_reconnect=False)
    try:
        for subject in publish:
            await client.publish(subject, b"x", reply="DIMSE.i.lab.command.x.inbox.y")
        for subject in hear:
            await client.subscribe(subject)
        with anyio.fail_after(30):
            await client.flush(25)
            while len(said) < len(publish) + len(hear) and client.is_connected:
                before = len(said)
                await client.flush(25)
                if len(said) == before:
                    break
    finally:
        await client.close()
    return said


@pytest.mark.parametrize("role", ROLES)
async def test_a_leaked_key_reaches_nothing_of_another_zone(
    server: tuple[NatsServer, Bus], zones: list[ZoneFacts], role: str
) -> None:
    started, bus = server
    (lab,) = (facts for facts in zones if facts.zone == LAB)
    publish, hear = of_others(zones)
    publish = [subject for subject in publish if not SHARED.fullmatch(subject)]
    publish += [f"$JS.API.{verb}" for verb in JETSTREAM]
    # In the name of the others; in its own a role may address them, as `test_forgery.py` and `test_trespass.py` try.
    assert not [subject for subject in publish if f".{LAB}." in subject and subject.split(".")[-3] == LAB]
    hear = [subject for subject in hear if not SHARED.fullmatch(subject)] + list(EVERYTHING)
    own = permitted(lab, role)
    hear = [subject for subject in hear if subject not in own.subscribe]
    if role == Role.STORE.value:  # it looks for spools that earlier routes have left
        publish = [subject for subject in publish if subject != "$JS.API.STREAM.LIST"]
    said = await refused(started.url, bus.keys.file(LAB, role), publish, hear)
    assert {one.subject for one in said if one.publishing} == _lower(publish)
    assert {one.subject for one in said if not one.publishing} == _lower(hear)


@pytest.mark.parametrize("role", ROLES)
async def test_the_same_subjects_are_open_to_the_roles_that_need_them(
    server: tuple[NatsServer, Bus], zones: list[ZoneFacts], role: str
) -> None:
    """So a refusal above is the key's, not the subject's."""
    started, bus = server
    (hospital,) = (facts for facts in zones if facts.zone == "hospital")
    own = permitted(hospital, role)
    publish = [_filled(subject) for subject in own.publish if not subject.startswith("$JS")]
    hear = [subject for subject in own.subscribe if " " not in subject]
    assert await refused(started.url, bus.keys.file("hospital", role), publish, hear) == set()
