"""NATS as docs/deploy/nats.md sets it up: what its own chart makes of our values, run by real nats-servers.

`nats_chart/*.conf` is what the chart writes; with NATS_CHART (a folder with the chart, or an archive) and helm it is
compared with what the chart makes of the values now.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from dimse_mesh.operator.zone import parse_spec
from tests.durable.site import ARCHIVE, CONTEXTS, Inbox, served, store
from tests.support.files import synthetic
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.nats import nats_server_binary
from tests.support.ports import reserve_port
from tests.support.process import Child, wait_until
from tests.support.scripted import Client

VALUES = Path("k8s/nats/chart")
WRITTEN = Path(__file__).with_name("nats_chart")
SERVERS = {"hub": "hub", "zone": "hospital-nats"}
"""Values -> release."""


def values(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((VALUES / f"{name}.yaml").read_text())
    return document


def leaves(node: Any) -> set[tuple[str, str]]:
    """Return every key that has a plain value, with that value, as nats-server's configuration has it."""
    if isinstance(node, Mapping):
        found: set[tuple[str, str]] = set()
        for key, value in node.items():
            if isinstance(value, Mapping | list):
                found |= leaves(value)
            else:
                found.add((key, re.sub(r"^<< (.*) >>$", r"\1", str(value))))
        return found
    return set().union(*map(leaves, node)) if node else set()


@pytest.mark.parametrize("name", SERVERS)
def test_what_the_chart_writes_has_all_that_the_values_say(name: str) -> None:
    text = (WRITTEN / f"{name}.conf").read_text()
    config = values(name)["config"]
    merged = [config["merge"], config.get("jetstream", {}).get("merge", {})]
    for key, value in set().union(*map(leaves, merged)):
        line = f"include {value};" if key == "$include" else f'"{key}": '
        assert line in text, key
        assert value in text, value


@pytest.mark.parametrize("name", SERVERS)
def test_values_mount_what_the_configuration_includes(name: str) -> None:
    document = values(name)
    (mount,) = [patch["value"] for patch in document["container"]["patch"]]
    (volume,) = [patch["value"] for patch in document["podTemplate"]["patch"]]
    assert mount["name"] == volume["name"]
    assert mount["readOnly"] is True
    folder = Path(mount["mountPath"]).name
    included = re.findall(r"include \.\./([\w-]+)/([\w.-]+);", (WRITTEN / f"{name}.conf").read_text())
    assert {where for where, _ in included} == {folder}
    secrets = {
        item["spec"]["target"]["name"]: {one["secretKey"] for one in item["spec"].get("data", ())}
        for item in yaml.safe_load_all((VALUES / "external-secrets.yaml").read_text())
    }
    assert secrets[volume["secret"]["secretName"]] == {file for _, file in included}


def test_certificates_are_the_ones_that_servers_and_zone_name() -> None:
    made = {
        item["spec"]["secretName"]: set(item["spec"]["dnsNames"])
        for item in yaml.safe_load_all((VALUES / "certificates.yaml").read_text())
    }
    for name in SERVERS:
        config = values(name)["config"]
        assert config["nats"]["tls"]["secretName"] in made
    spec = parse_spec(yaml.safe_load((VALUES / "hospital.yaml").read_text())["spec"])
    assert spec.nats_tls is not None
    assert spec.nats_url.partition(":")[0] in made[str(spec.nats_tls.ca_secret)]
    (remote,) = values("zone")["config"]["merge"]["leafnodes"]["remotes"]
    assert re.sub(r"^tls://|:\d+$", "", remote["url"]) in made["hub-tls"]


@pytest.mark.skipif("NATS_CHART" not in os.environ, reason="NATS_CHART doesn't say where NATS' chart is")
@pytest.mark.parametrize("name", SERVERS)
def test_chart_writes_the_same_today(name: str) -> None:
    command = ["helm", "template", SERVERS[name], os.environ["NATS_CHART"], "--namespace", "nats"]
    command += ["--values", str(VALUES / f"{name}.yaml")]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    (made,) = [
        item["data"]["nats.conf"]
        for item in yaml.safe_load_all(run.stdout)
        if item and item["kind"] == "ConfigMap"
    ]
    kept = (WRITTEN / f"{name}.conf").read_text()
    assert made.strip() == kept.partition("\n")[2].strip()


class Pod:
    """A nats-server with the configuration that the chart writes, in a folder that stands for the pod's file system."""

    def __init__(self, name: str, root: Path, ports: Mapping[int, int], hub_leaf_port: int) -> None:
        self.client = ports[4222]
        self._monitor = ports[8222]
        self._name = name
        self._root = root
        text = (WRITTEN / f"{name}.conf").read_text()
        for there, here in ports.items():
            text = re.sub(rf'("(?:port|http_port)": ){there}\b', rf"\g<1>{here}", text)
            text = re.sub(r"hub-nats-\d\.hub-nats-headless:6222", f"127.0.0.1:{ports.get(6222, 0)}", text)
        text = text.replace("tls://hub-nats.nats.svc:7422", f"tls://127.0.0.1:{hub_leaf_port}")
        text = re.sub(r'"/(etc|data|var)\b', rf'"{root}/\1', text)
        text = text.replace('"server_name"', '"host": "127.0.0.1",\n  "server_name"', 1)
        text = text.replace('"no_advertise": true,', '"no_advertise": true,\n    "host": "127.0.0.1",')
        self._config = root / "etc/nats-config/nats.conf"
        self._config.parent.mkdir(parents=True)
        (root / "var/run/nats").mkdir(parents=True)
        self._config.write_text(text)

    def mount(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Put files where the chart mounts a Secret."""
        path = self._root / "etc" / folder
        path.mkdir(parents=True)
        for name, content in files.items():
            (path / name).write_bytes(content)

    def run(self) -> Child:
        """Start the server."""
        child = Child(
            [nats_server_binary(), "--config", str(self._config)],
            log=self._root / "nats.log",
            env={"SERVER_NAME": f"{self._name}-0"},
        )
        child.wait_for_port(self.client)
        return child

    def says(self, path: str) -> Any:
        """Return what the monitoring port says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._monitor}/{path}", timeout=20) as answer:
            return json.load(answer)


def nats_config(directory: Path, configs: list[dict[str, Any]]) -> Path:
    """Run `dimse-mesh nats-config`, and return the folder that it fills."""
    files = []
    for config in configs:
        file = directory / f"{config['zone']}-plan.yaml"
        file.write_text(yaml.safe_dump(config))
        files.append(str(file))
    made = directory / "made"
    command = [sys.executable, "-m", "dimse_mesh.app", "nats-config", *files, "--output", str(made)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made


def test_durable_route_crosses_the_servers_that_the_chart_makes(tmp_path: Path) -> None:
    authority = trustme.CA()
    target, inbox, entry = reserve_port(), Inbox(), reserve_port()
    hospital = zone_config(
        "hospital",
        listener=entry,
        routes=[{"to": {"ae": ARCHIVE}, "delivery": "durable"}],
        more={"spool": {"domain": "hospital", "max_bytes": 1 << 30}},
    )
    cloud = zone_config(
        "cloud",
        remote_aes=[Ae(ARCHIVE, target, "cloud")],
        more={"delivery": {"domains": ["hospital"], "look_interval": 0.5}},
    )
    made = nats_config(tmp_path, [hospital, cloud])
    leaf_port = reserve_port()
    ports = {"hub": (4222, 8222, 6222), "zone": (4222, 8222)}
    pods = {
        name: Pod(
            name,
            tmp_path / name,
            {port: reserve_port() for port in ports[name]} | ({7422: leaf_port} if name == "hub" else {}),
            leaf_port,
        )
        for name in SERVERS
    }
    ca = authority.cert_pem.bytes()
    for name, folders in (("hub", ("nats", "leafnodes")), ("zone", ("nats",))):
        own = authority.issue_cert("127.0.0.1")
        chain = b"".join(blob.bytes() for blob in own.cert_chain_pems)
        for folder in folders:
            files = {"tls.crt": chain, "tls.key": own.private_key_pem.bytes(), "ca.crt": ca}
            pods[name].mount(f"nats-certs/{folder}", files)
    accounts = "leaf-hospital-accounts.conf"
    pods["hub"].mount("nats-accounts", {"hub-accounts.conf": (made / "hub-accounts.conf").read_bytes()})
    leaf = (made / "keys/hospital/leaf.conf").read_bytes()
    pods["zone"].mount("nats-accounts", {accounts: (made / accounts).read_bytes(), "leaf.conf": leaf})
    (tmp_path / "ca.crt").write_bytes(ca)
    for config, pod in ((hospital, pods["zone"]), (cloud, pods["hub"])):
        config["nats"] = {
            "servers": [f"tls://127.0.0.1:{pod.client}"],
            "nkey_seed": str(made / "keys" / config["zone"]),
            "tls": {"ca": str(tmp_path / "ca.crt")},
        }
    with ExitStack() as stack:
        for name in SERVERS:
            stack.enter_context(pods[name].run())
        wait_until(lambda: pods["hub"].says("leafz")["leafnodes"] == 1, "the zone's server joins the hub")
        state = pods["zone"].says("jsz")["config"]
        assert (state["domain"], state["sync_always"]) == ("hospital", True)
        stack.enter_context(Mesh.start(tmp_path, [hospital, cloud], nats_port=pods["hub"].client))
        with Client.open(entry, called=ARCHIVE, calling="CT1", contexts=CONTEXTS, timeout=60) as client:
            assert store(client, synthetic(1, 100_000)) == 0
            client.release()
        assert inbox.objects == []
        stack.enter_context(served(target, inbox.script))
        inbox.wait_for(1, timeout=60)
