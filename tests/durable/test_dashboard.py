"""The dashboard of durable delivery against the real Prometheus: every panel shows something."""

from __future__ import annotations

from pathlib import Path

from tests.durable.requestor import Reports, ask, asking
from tests.durable.site import ARCHIVE, Inbox, site, store
from tests.interop.observability.test_dashboards import DASHBOARDS, expressions, scraping
from tests.support.files import synthetic
from tests.support.mesh import Ae
from tests.support.ports import reserve_port, reserve_ports
from tests.support.prometheus import prometheus
from tests.support.wire import CT_STORAGE

SERVICES = 6
"""Ports of a zone's instances, one behind the other."""
DOWN = "DOWN"


def test_every_panel_shows_something(tmp_path: Path) -> None:
    """One destination takes what it gets, nobody listens at another, and storage commitment is asked for."""
    base = reserve_ports(2 * SERVICES)
    hospital, cloud = (
        {"observability": {"http": {"host": "127.0.0.1", "port": port}}} for port in (base, base + SERVICES)
    )
    inbox = Inbox()
    with (
        site(
            tmp_path,
            hospital=hospital,
            cloud=cloud,
            more_aes=[Ae(DOWN, reserve_port(), "cloud")],
            more_routes=[{"called": DOWN, "to": {"ae": DOWN}, "delivery": "durable"}],
        ) as where,
        where.destination(inbox),
        prometheus(tmp_path, scraping(range(base, base + 2 * SERVICES))) as server,
    ):
        for called in (ARCHIVE, DOWN):
            with where.open(called=called) as client:
                assert store(client, synthetic(1, 10_000)) == 0
                client.release()
        with asking(where, Reports(), calling="NOBODY") as assoc:  # refused: nobody could tell it
            status, _ = ask(assoc, [(CT_STORAGE, synthetic(1, 10_000).sop_instance)])
            assert status.Status != 0
        inbox.wait_for(1)
        for place, expression in expressions([DASHBOARDS / "durable.json"]).items():

            def shows(expression: str = expression) -> bool:
                return any(float(series["value"][1]) >= 0 for series in server.value(expression))

            where.wait_until(shows, f"{place} shows something: {expression}")
