"""NATS credentials that expire in the middle: clients are told to come again, and nothing acknowledged is lost."""

from __future__ import annotations

import time
from pathlib import Path

from tests.durable.site import ARCHIVE, CONTEXTS, Inbox, served, store
from tests.fault.fleet import fleet
from tests.interop.deploy.test_nats_credentials import ACCOUNT, OPERATOR, SYSTEM, credentials
from tests.support.files import DicomFile, synthetic
from tests.support.mesh import zone_config
from tests.support.nats import nats_server
from tests.support.ports import reserve_port
from tests.support.process import wait_until
from tests.support.scripted import Client

LIFETIME = 12.0
"""Seconds that the front-end's credentials are good for; it starts within them."""


def jetstream_server() -> str:
    """Return the configuration of a server whose users prove themselves by JWT, and may use JetStream."""
    everything = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn"), -1)
    storage = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
    accounts = {
        ACCOUNT: {**everything, **storage, "wildcards": True},
        SYSTEM: {**everything, "wildcards": True},
    }
    preload = ", ".join(
        f"{one.public}: {OPERATOR.claims(one, {'type': 'account', 'limits': limits})}"
        for one, limits in accounts.items()
    )
    operator = OPERATOR.claims(OPERATOR, {"type": "operator"})
    return (
        f"operator: {operator}\nsystem_account: {SYSTEM.public}\n"
        f"resolver: MEMORY\nresolver_preload: {{ {preload} }}\n"
    )


def test_the_credentials_of_a_front_end_expire_and_are_renewed(tmp_path: Path) -> None:
    entry, target, inbox = reserve_port(), reserve_port(), Inbox()
    lasting, short = tmp_path / "lasting.creds", tmp_path / "short.creds"
    lasting.write_text(credentials())
    hospital = zone_config(
        "hospital",
        listener=entry,
        routes=[{"to": {"ae": ARCHIVE}, "delivery": "durable"}],
        more={"spool": {"max_bytes": 1 << 30, "deadline": 2.0}},
    )
    cloud = zone_config(
        "cloud",
        remote_aes=[{"ae_title": ARCHIVE, "host": "127.0.0.1", "port": target}],
        more={"delivery": {"look_interval": 0.2, "retry": {"first": 0.2}}},
    )
    with (
        nats_server(tmp_path / "nats", config=jetstream_server()) as server,
        fleet(tmp_path / "fleet") as services,
    ):
        for config in (hospital, cloud):
            services.zone(config, {"servers": [server.url], "credentials": str(lasting)})
        services.start_all(("hospital", "store"), ("cloud", "scu"), ("cloud", "delivery"))
        services.zone(hospital, {"servers": [server.url], "credentials": str(short)})
        short.write_text(credentials(expires=time.time() + LIFETIME))
        services.start_all(("hospital", "association"))
        acknowledged: list[DicomFile] = []
        refused: list[DicomFile] = []
        number, renewed = 0, False
        until = time.monotonic() + 90
        with served(target, inbox.script):
            with Client.open(entry, called=ARCHIVE, calling="CT1", contexts=CONTEXTS, timeout=60) as client:
                while time.monotonic() < until:
                    content = synthetic(number, 20_000)
                    number += 1
                    if store(client, content, number % 60_000 + 1) == 0:
                        acknowledged.append(content)
                        if renewed:
                            break
                    else:
                        refused.append(content)
                        if not renewed:
                            short.write_text(credentials())
                            renewed = True
                client.release()
            wanted = {content.sop_instance for content in acknowledged}
            wait_until(lambda: wanted <= set(inbox.instances), "all that was acknowledged has arrived")
    assert renewed
    assert refused
    # An object whose commit was not seen in time is refused, and may stand in the queue all the same.
    kept_all_the_same = {content.data for content in refused}
    arrived = [got.data for got in inbox.objects if got.data not in kept_all_the_same]
    assert arrived == [content.data for content in acknowledged]
