"""Fifty resources at once; an operator that is killed again and again while resources come, change and go."""

from __future__ import annotations

import os
import random
import re
import signal
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dimse_mesh.operator.names import STANDING, Component
from tests.support.cluster.api import Namespace
from tests.support.cluster.control_plane import ControlPlane
from tests.support.cluster.operator import rights_missed, start_operator
from tests.support.ports import reserve_port
from tests.support.process import resident_bytes, wait_until

ORIGINAL: dict[str, Any] = yaml.safe_load(Path("k8s/samples/original.yaml").read_text())["spec"]
MANY = 50
KILLS = int(os.environ.get("OPERATOR_KILLS", "5"))
"""50 by `make soak-operator`."""


def requests(port: int) -> dict[str, float]:
    """Return the operator's requests by kind."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as reply:
        text = reply.read().decode()
    found: dict[str, float] = {}
    pattern = r'^dimse_mesh_operator_api_requests_total\{kind="(\w+)".*\} (\S+)$'
    for kind, count in re.findall(pattern, text, re.MULTILINE):
        found[kind] = found.get(kind, 0) + float(count)
    found.pop("Lease", None)
    return found


def test_fifty_resources_at_once(plane: ControlPlane, namespace: Namespace, tmp_path: Path) -> None:
    """A minute on a free machine; the calls and the memory don't depend on who else runs."""
    port = reserve_port()
    with start_operator(plane, tmp_path, "--listen", f"127.0.0.1:{port}") as operator:
        operator.wait_for_line("watching every namespace", timeout=60)
        before = sum(requests(port).values())
        begun = time.monotonic()
        for number in range(MANY):
            namespace.create("DimseProxy", f"zone-{number}", spec=ORIGINAL)

        def all_ready() -> bool:
            items = namespace.api.list("DimseProxy", namespace=namespace.name)
            return len(items) == MANY and all((item.get("status") or {}).get("ready") for item in items)

        wait_until(all_ready, "fifty resources are Ready", timeout=400)
        took = time.monotonic() - begun
        asked = sum(requests(port).values()) - before
        memory = resident_bytes(operator.pid, peak=True)
        now = resident_bytes(operator.pid) >> 20
        print(
            f"{MANY} resources: {took:.0f} s, {asked / MANY:.1f} calls each, {memory >> 20} MiB ({now} now)"
        )
        assert asked / MANY <= 50
        assert memory < 150 << 20

        # At rest, nothing is asked: neither of the API server, nor written to it.
        wait_until(lambda: settled(port), "the last status is written", timeout=60)
        asked = sum(requests(port).values())
        passed = time.monotonic()
        namespace.patch("DimseProxy", "zone-0", {"spec": {"targetDimsePort": 104}})
        namespace.until_ready("zone-0", timeout=120)
        minutes = (time.monotonic() - passed) / 60
        assert sum(requests(port).values()) - asked <= 50 + 2 * minutes * MANY


def settled(port: int) -> bool:
    before = requests(port)
    time.sleep(1)
    return requests(port) == before


@dataclass(slots=True)
class Wanted:
    """What a resource says."""

    port: int = 104
    executors: int = 1
    delivers: bool = False

    def vary(self, chance: random.Random) -> None:
        """Change something: some pods roll, a Deployment grows or shrinks, a service comes or goes."""
        self.port += 1
        self.executors = chance.randint(1, 3)
        self.delivers = chance.random() < 0.5

    @property
    def spec(self) -> dict[str, Any]:
        """The spec of the resource; what is None is removed by a merge patch."""
        services = {"scu": {"replicas": self.executors}}
        spec = {**ORIGINAL, "targetDimsePort": self.port, "services": services}
        return {**spec, "delivery": {} if self.delivers else None}

    @property
    def deployments(self) -> int:
        return len(Component) if self.delivers else len(STANDING)


def test_operator_killed_at_random(plane: ControlPlane, namespace: Namespace, tmp_path: Path) -> None:
    """Whatever a dead operator left half done, the next one ends it."""
    chance = random.Random(int(os.environ.get("OPERATOR_SEED", "14")))
    wanted: dict[str, Wanted] = {}
    done: Counter[str] = Counter()
    for kill in range(KILLS):
        operator = start_operator(plane, tmp_path / str(kill), "--identity", "the-same-pod")
        try:
            operator.wait_for_line("watching every namespace", timeout=60)
            name = f"zone-{chance.randrange(6)}"
            if name not in wanted:
                wanted[name] = Wanted()
                namespace.create("DimseProxy", name, spec=without_none(wanted[name].spec))
                done["created"] += 1
            elif chance.random() < 0.3:
                del wanted[name]
                namespace.delete("DimseProxy", name)
                done["deleted"] += 1
            else:
                wanted[name].vary(chance)
                namespace.patch("DimseProxy", name, {"spec": wanted[name].spec})
                done["changed"] += 1
            time.sleep(chance.random())  # No event to wait for: the point of the kill is meant to be any.
            operator.send_signal(signal.SIGKILL)
        finally:
            operator.stop()
        if name not in wanted:
            namespace.until(lambda name=name: name not in namespace.names("DimseProxy"), "it is gone")
    begun = time.monotonic()
    with start_operator(plane, tmp_path / "last", "--identity", "the-same-pod") as operator:
        for name, one in wanted.items():
            namespace.until_ready(name, timeout=120)
            text = namespace.get("ConfigMap", f"{name}-scu")["data"]["zone.yaml"]
            assert f"port: {one.port}\n" in text
            assert namespace.get("Deployment", f"{name}-scu")["spec"]["replicas"] == one.executors
        count = sum(one.deployments for one in wanted.values())
        namespace.until(
            lambda: len(namespace.names("Deployment")) == count, "nothing else is left", timeout=120
        )
        owners = {namespace.get("DimseProxy", name)["metadata"]["uid"] for name in wanted}
        for kind, name in namespace.made():
            (owner,) = namespace.get(kind, name)["metadata"]["ownerReferences"]
            assert owner["uid"] in owners
        assert rights_missed(operator, plane.api) == []
    print(f"{KILLS} kills, {dict(done)}: all as wanted {time.monotonic() - begun:.0f} s after the last")


def without_none(spec: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if value is not None}
