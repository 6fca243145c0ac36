"""`dimse-mesh up` as real processes: ready, restarts, obituaries, and an end that leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import anyio
import pytest
import yaml

from dimse_mesh.app.nursery_process import TITLE
from dimse_mesh.app.supervisor import children_of, zones_delivered_to
from dimse_mesh.app.zone_files import Zone
from dimse_mesh.mesh import unpack
from dimse_mesh.runtime.settings import settings_from
from dimse_mesh.schemas.service import Obituary, ServiceName
from tests.support.bus import address, join
from tests.support.mesh import Mesh, zone_config
from tests.support.ports import is_listening, reserve_port
from tests.support.process import Child, command_line, descendants, wait_until
from tests.support.waiting import Mailbox

SMALL = {"instances": {"store": 1, "scu": 1, "association": 1, "query_retrieve": 0, "n_service": 0}}
ONE = {"instances": {"store": 1, "scu": 0, "association": 0, "query_retrieve": 0, "n_service": 0}}


def runs(pid: int) -> bool:
    """Tell whether a process runs (a zombie that nobody has reaped yet does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def assert_nothing_left(pids: dict[str, int]) -> None:
    wait_until(lambda: not any(runs(pid) for pid in pids.values()), f"the end of {pids}", timeout=15)


def test_sigterm_drains_and_leaves_no_process(tmp_path: Path) -> None:
    mesh = Mesh.start(tmp_path, [zone_config("a", listener=reserve_port(), more=SMALL)])
    pids = mesh.pids()
    assert set(pids) == {"supervisor", "nats-server", "a/association", "a/store", "a/scu"}
    assert mesh.stop() == 0
    assert_nothing_left(pids)
    assert mesh.child.output.splitlines().count("ready") == 1


@pytest.mark.parametrize(
    ("to", "more", "delivered_to"),
    [
        ({"ae": "PACS"}, {}, {"cloud"}),
        ({"zone": "cloud"}, {}, {"cloud"}),
        ([{"ae": "PACS"}, {"ae": "HERE"}], {}, {"cloud", "hospital"}),
        ({"ae": "PACS"}, {"hooks": [{"python": "hooks.py:change"}]}, {"cloud", "hospital"}),
        ({"ae": "ELSEWHERE"}, {}, set()),
        ({"ae": "PACS"}, {"delivery": "live"}, set()),
    ],
)
def test_a_zone_has_a_delivery_service_if_a_durable_route_leads_to_it(
    to: object, more: dict[str, object], delivered_to: set[str]
) -> None:
    pacs = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "default": True}
    route = {"to": to, "delivery": "durable", **more}
    configs = [
        zone_config("hospital", remote_aes=[{**pacs, "ae_title": "HERE"}], routes=[route]),
        zone_config("cloud", remote_aes=[pacs]),
        zone_config("lab", remote_aes=[{**pacs, "ae_title": "OTHER"}]),
    ]
    zones = [Zone(Path(config["zone"]), settings_from(config, source=config["zone"])) for config in configs]
    assert zones_delivered_to(zones) == delivered_to
    for zone in zones:
        services = {spec.service for spec in children_of(zone, {}, delivered_to)}
        assert (ServiceName.DELIVERY in services) == (zone.settings.zone in delivered_to)


def test_what_a_delivery_service_may_not_see_it_asks_for_seldom(tmp_path: Path) -> None:
    more = {"instances": {**ONE["instances"], "delivery": 1}, "delivery": {"look_interval": 0.1}}
    with Mesh.start(tmp_path, [zone_config("a", more=more)]) as mesh:
        mesh.may_lack_permission = True
        mesh.child.wait_for_line("STREAM.NAMES: its user lacks the permission")
        wait_until(lambda: mesh.violations("a", "delivery") > 0, "nats-server has logged it")
        time.sleep(1.0)
        assert mesh.violations("a", "delivery") == 1


def test_ctrl_c_drains_too(tmp_path: Path) -> None:
    with Mesh.start(tmp_path, [zone_config("a", more=ONE)]) as mesh:
        pids = mesh.pids()
        mesh.child.send_signal(signal.SIGINT)
        assert mesh.child.wait(timeout=20) == 0
        assert_nothing_left(pids)


def test_killed_nursery_is_replaced_when_a_service_is_to_be_started(tmp_path: Path) -> None:
    with Mesh.start(tmp_path, [zone_config("a", more=ONE)]) as mesh:

        def nursery() -> int:
            return next(pid for pid in descendants(mesh.child.pid) if command_line(pid) == TITLE)

        before, store = nursery(), mesh.pids()["a/store"]
        os.kill(before, signal.SIGKILL)
        os.kill(store, signal.SIGKILL)
        wait_until(lambda: mesh.pids().get("a/store", store) != store, "the store runs again")
        assert nursery() != before
        mesh.child.wait_for_line("restarting")


def test_killed_supervisor_takes_everything_with_it(tmp_path: Path) -> None:
    with Mesh.start(tmp_path, [zone_config("a", listener=reserve_port(), more=SMALL)]) as mesh:
        pids = mesh.pids()
        os.kill(mesh.child.pid, signal.SIGKILL)
        assert_nothing_left(pids)


async def _obituary_after_kill(mesh: Mesh) -> None:
    async with join(mesh.nats("a"), address("test", zone="a"), root="DIMSE", timeout=10) as nats:
        mailbox = Mailbox()
        await nats.subscribe(nats.subjects.all_dead, mailbox)
        killed = mesh.pids()["a/store"]
        os.kill(killed, signal.SIGKILL)
        message = (await mailbox.until(1))[0]
        obituary, _ = unpack(Obituary, message.payload)
        # The dead can't have said it: who did is another.
        assert obituary.dead.role == "store"
        assert message.sender is not None
        assert message.sender.instance != obituary.dead.instance
    wait_until(lambda: mesh.pids().get("a/store", killed) != killed, "another store handler")


def test_killed_child_is_mourned_and_replaced(tmp_path: Path) -> None:
    with Mesh.start(tmp_path, [zone_config("a", more=ONE)]) as mesh:
        anyio.run(_obituary_after_kill, mesh)


def test_killed_nats_server_comes_back_on_its_port(tmp_path: Path) -> None:
    with Mesh.start(tmp_path, [zone_config("a", more=ONE)]) as mesh:
        before = mesh.pids()
        os.kill(before["nats-server"], signal.SIGKILL)
        wait_until(
            lambda: (
                mesh.pids().get("nats-server", before["nats-server"]) != before["nats-server"]
                and is_listening(mesh.nats_port)
            ),
            "another nats-server",
        )
        assert mesh.pids()["a/store"] == before["a/store"]
        assert mesh.stop() == 0


def test_nats_server_that_is_killed_while_it_starts_is_started_again(tmp_path: Path) -> None:
    with Mesh.start(tmp_path, [zone_config("a", more=ONE)]) as mesh:
        killed = {mesh.pids()["nats-server"]}
        os.kill(next(iter(killed)), signal.SIGKILL)
        while len(killed) < 4:
            assert mesh.child.returncode is None, mesh.child.describe()
            # Long before it listens: it has not even become nats-server then.
            found = {
                pid for pid in descendants(mesh.child.pid) if "nats-server" in command_line(pid)
            } - killed
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed |= found
        wait_until(lambda: is_listening(mesh.nats_port), "another nats-server", timeout=60)
        assert mesh.stop() == 0


@pytest.mark.parametrize("what", ["listener", "nats"])
def test_port_in_use_is_one_line_and_nothing_is_left(tmp_path: Path, what: str) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        listener = port if what == "listener" else reserve_port()
        nats = port if what == "nats" else reserve_port()
        file = tmp_path / "a.yaml"
        config = zone_config("a", listener=listener, more={**SMALL, "observability": {"log_level": "error"}})
        file.write_text(yaml.safe_dump(config))
        command = [
            *_command(),
            "up",
            str(file),
            "--nats-port",
            str(nats),
            "--data-dir",
            str(tmp_path / "data"),
        ]
        with Child(command, log=tmp_path / "log") as child:
            assert child.wait(timeout=60) == 1
            (line,) = child.output.splitlines()
            assert f"127.0.0.1:{port}" in line
            assert "in use" in line


def _command() -> tuple[str, ...]:
    from tests.support.mesh import COMMAND

    return COMMAND


def test_nothing_to_run_is_misconfigured(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("zone: a\ninstances: 0\n")
    with Child([*_command(), "up", str(tmp_path / "a.yaml")], log=tmp_path / "log") as child:
        assert child.wait(timeout=60) == 2
        assert child.output.splitlines() == ["nothing to run: every zone's instances are 0"]


def test_two_listeners_of_one_port_and_other_addresses_are_two_listeners(tmp_path: Path) -> None:
    port = reserve_port()
    config = zone_config("a", listener=port, more=SMALL)
    config["association"]["listeners"].append({"host": "127.0.0.2", "port": port})
    with Mesh.start(tmp_path, [config]):
        assert is_listening(port)


def test_signal_while_starting_ends_it(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(zone_config("a", more=SMALL)))
    command = [*_command(), "up", str(file), "--nats-port", str(reserve_port())]
    with Child(command, log=tmp_path / "log") as child:
        child.wait_for_line("embedded nats-server")
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=30) == 0
        assert "ready" not in child.output.splitlines()
