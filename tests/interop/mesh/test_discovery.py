"""`$SRV` answers, as `nats micro` asks for them (ADR-32)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from dimse_mesh.mesh import EndpointStats, Mesh, NatsSettings, ServiceDescription, ServiceEndpoint, announce
from dimse_mesh.nats_server.accounts import MONITOR
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.subjects import Kind
from tests.support.bus import address, join
from tests.support.mesh import zone_config
from tests.support.nats import NatsServer
from tests.support.permitted import TEST_USER, Bus, permitted_server
from tests.support.waiting import Mailbox

pytestmark = pytest.mark.anyio


def described() -> ServiceDescription:
    return ServiceDescription(
        ServiceName.N_SERVICE,
        "1.2.3",
        "N-* handlers",
        [
            ServiceEndpoint(
                "operations",
                "DIMSE.zone.hospital.n_service",
                "n_service",
                lambda: EndpointStats(requests=4, errors=1, last_error="policy", processing_seconds=2.0),
            )
        ],
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[NatsServer, Bus]]:
    with permitted_server(tmp_path, [zone_config("hospital")]) as running:
        yield running


@pytest.fixture
async def pair(server: tuple[NatsServer, Bus]) -> AsyncIterator[tuple[Mesh, Mesh]]:
    """Two handlers, each with its role's key."""
    nats, bus = server
    settings = bus.settings("hospital", Role.N_SERVICE, nats.url)
    async with (
        join(settings, address("one", role=Role.N_SERVICE)) as one,
        join(settings, address("two", role=Role.N_SERVICE)) as two,
    ):
        yield one, two


@pytest.fixture
async def tool(server: tuple[NatsServer, Bus]) -> AsyncIterator[Mesh]:
    """What watches, with the key that is made for that."""
    nats, bus = server
    settings = NatsSettings(servers=[nats.url], nkey_seed=bus.keys.file("hospital", MONITOR))
    async with join(settings, address("tool", role=Role.COMMAND)) as mesh:
        yield mesh


async def ask(mesh: Mesh, subject: str, expected: int) -> list[dict[str, Any]]:
    mailbox = Mailbox()
    subscription = await mesh.subscribe("_INBOX.answers", mailbox)
    mesh.publish(subject, b"", reply="_INBOX.answers")
    answers = await mailbox.until(expected)
    await subscription.unsubscribe()
    return [json.loads(answer.payload) for answer in answers]


async def test_every_instance_answers_a_ping_of_all(pair: tuple[Mesh, Mesh], tool: Mesh) -> None:
    for mesh in pair:
        await announce(mesh, described())
    answers = await ask(tool, "$SRV.PING", 2)
    assert {answer["id"] for answer in answers} == {"one", "two"}
    assert answers[0] | {"id": ""} == {
        "type": "io.nats.micro.v1.ping_response",
        "name": "dimse-mesh-n_service",
        "id": "",
        "version": "1.2.3",
        "metadata": {"zone": "hospital", "service": "n_service"},
    }


async def test_info_names_the_endpoints_and_stats_their_counters(pair: tuple[Mesh, Mesh], tool: Mesh) -> None:
    for mesh in pair:
        await announce(mesh, described())
    (info,) = await ask(tool, "$SRV.INFO.dimse-mesh-n_service.two", 1)
    assert info["endpoints"] == [
        {
            "name": "operations",
            "subject": "DIMSE.zone.hospital.n_service",
            "queue_group": "n_service",
            "metadata": {},
        }
    ]
    (stats,) = await ask(tool, "$SRV.STATS.dimse-mesh-n_service.one", 1)
    assert stats["type"] == "io.nats.micro.v1.stats_response"
    assert stats["started"].endswith("Z")
    (endpoint,) = stats["endpoints"]
    assert (endpoint["num_requests"], endpoint["num_errors"], endpoint["last_error"]) == (4, 1, "policy")
    assert (endpoint["processing_time"], endpoint["average_processing_time"]) == (2_000_000_000, 500_000_000)


async def test_nats_pys_own_models_read_the_answers(pair: tuple[Mesh, Mesh], tool: Mesh) -> None:
    from nats.micro.service import ServiceInfo, ServicePing, ServiceStats

    await announce(pair[0], described())
    (ping,) = await ask(tool, "$SRV.PING.dimse-mesh-n_service", 1)
    assert ServicePing.from_dict(ping).id == "one"
    (info,) = await ask(tool, "$SRV.INFO", 1)
    assert ServiceInfo.from_dict(info).endpoints[0].queue_group == "n_service"
    (stats,) = await ask(tool, "$SRV.STATS", 1)
    assert ServiceStats.from_dict(stats).endpoints[0].num_requests == 4


async def test_a_service_describes_itself_to_an_inbox_of_natss_tools_and_to_nobody_else(
    pair: tuple[Mesh, Mesh], tool: Mesh, server: tuple[NatsServer, Bus]
) -> None:
    """Else whoever may ask could have it publish where only the service may."""
    await announce(pair[0], described())
    elsewhere = Mailbox()
    everything = NatsSettings(servers=[server[0].url], user=TEST_USER, password=SecretStr(TEST_USER))
    async with join(everything, address("all", role=Role.COMMAND)) as listener:
        await listener.subscribe("DIMSE.>", elsewhere)
        tool.publish("$SRV.PING", b"", reply=pair[1].subjects.mine(Kind.OP).replace("*", "x"))
        await ask(tool, "$SRV.PING", 1)  # behind it
        assert not elsewhere.messages
