"""What a C-STORE handler exports of its zone's spools, and that docs/delivery.md says so."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.durable.operator import queue
from tests.durable.site import ARCHIVE, Inbox, Site, site, store
from tests.durable.test_observed import families
from tests.support.files import synthetic
from tests.support.mesh import Ae
from tests.support.ports import reserve_port, reserve_ports

STORE_HANDLER = 1
"""Instances of a zone whose ports come before that of its C-STORE handler."""


def watched() -> tuple[dict[str, Any], int]:
    """Return settings of a hospital that looks at its spools often, and the port where its C-STORE handler says so."""
    base = reserve_ports(STORE_HANDLER + 5)
    settings = {
        "observability": {"http": {"host": "127.0.0.1", "port": base}},
        "spool": {"look_interval": 0.3, "max_bytes": 1 << 30},
    }
    return settings, base + STORE_HANDLER


def sample(port: int, name: str, **labels: str) -> float | None:
    wanted = {"source": "hospital", "destination": ARCHIVE, **labels}
    found = families(port, "dimse_mesh_spool").get(name)
    values = [one.value for one in found.samples if wanted.items() <= one.labels.items()] if found else []
    return values[0] if values else None


def state(where: Site, port: int, expected: str) -> None:
    where.wait_until(
        lambda: sample(port, "dimse_mesh_spool_state", state=expected) == 1, f"its state is {expected}"
    )


@pytest.mark.parametrize(
    "route",
    [{"to": {"ae": "RENAMED"}}, {"delivery": "live"}],
    ids=["another destination", "no durable route"],
)
def test_what_is_kept_for_a_destination_that_no_route_names_any_more_is_told(
    tmp_path: Path, route: dict[str, Any]
) -> None:
    hospital, port = watched()
    content = synthetic(1, 2_000)
    with site(tmp_path, hospital=hospital) as where:
        with where.open() as client:
            assert store(client, content) == 0
        old_port = where.port
    with site(tmp_path, hospital=hospital, route=route, port=old_port) as where:
        state(where, port, "nobody")
        assert (sample(port, "dimse_mesh_spool_kept_bytes") or 0) > 0
        told = "hospital to ae ARCHIVE: objects are kept for it, and no durable route leads there any more"
        assert told in where.mesh.log.read_text()
    inbox = Inbox()
    again = [{"called": "NOBODY CALLS IT", "to": {"ae": ARCHIVE}, "delivery": "durable"}]
    with (
        site(tmp_path, hospital=hospital, route=route, more_routes=again, port=old_port) as where,
        where.destination(inbox),
    ):
        assert inbox.wait_for(1)[0].data == content.data


def test_what_is_kept_for_a_former_route_is_asked_for_seldom(tmp_path: Path) -> None:
    """Its delivery service runs, for another route, and nats-server doesn't let it read this spool any more."""
    second = Ae("SECOND", reserve_port(), "cloud")
    with site(tmp_path, more_aes=[second]) as where, where.open() as client:
        assert store(client, synthetic(1, 2_000)) == 0
        old_port = where.port
    with site(tmp_path, more_aes=[second], route={"to": {"ae": second.title}}, port=old_port) as where:
        where.mesh.may_lack_permission = True
        where.wait_until(lambda: where.mesh.violations("cloud", "delivery") > 0, "nats-server has logged it")
        time.sleep(2.0)
        assert where.mesh.violations("cloud", "delivery") == 1


def test_the_source_zone_sees_what_becomes_of_its_objects(tmp_path: Path) -> None:
    hospital, port = watched()
    with site(tmp_path, hospital=hospital, cloud={"instances": {"delivery": 0}}) as where:
        with where.open() as client:
            for number in range(3):
                assert store(client, synthetic(number, 10_000)) == 0
        state(where, port, "nobody")
        where.wait_until(lambda: sample(port, "dimse_mesh_spool_objects") == 3, "all of them are seen")
        old_port = where.port
    inbox = Inbox()
    with site(tmp_path, hospital=hospital, port=old_port) as where:
        state(where, port, "connection-refused")
        assert sample(port, "dimse_mesh_spool_objects") == 3
        assert sample(port, "dimse_mesh_spool_reachable") == 1
        kept, limit = (sample(port, f"dimse_mesh_spool_{name}_bytes") for name in ("kept", "limit"))
        assert kept is not None
        assert limit is not None
        assert 0 < kept < limit == 1 << 30
        assert (sample(port, "dimse_mesh_spool_oldest_seconds") or 0) > 0
        queue(where, "pause", ARCHIVE, "--reason", "new disks")
        state(where, port, "paused")
        queue(where, "resume", ARCHIVE)
        with where.destination(inbox):
            inbox.wait_for(3)
            state(where, port, "idle")
            assert sample(port, "dimse_mesh_spool_objects") == 0
        rows = {
            f"| `{name}` | {family.type} | "
            f"{', '.join(sorted({label for one in family.samples for label in one.labels}))} | "
            f"{family.documentation} |"
            for name, family in families(port, "dimse_mesh_spool").items()
        }
    page = Path("docs/delivery.md").read_text().splitlines()
    assert {line for line in page if line.startswith("| `dimse_mesh_spool_")} == rows
