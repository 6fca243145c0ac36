"""`podman play kube` for tests: storage and configuration of its own, host networking on 127.0.0.1."""

from __future__ import annotations

import copy
import os
import resource
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.containers import remove_tree, require_engine_tools
from tests.support.ports import reserve_port

PODMAN = "/usr/bin/podman"
NO_FILES = 4096
# Without systemd: cgroupfs, a log file for events. runc, and limits that a nested container may set.
CONTAINERS_CONF = f"""\
[containers]
default_ulimits = ["nofile={NO_FILES}:{NO_FILES}", "nproc=4096:4096"]
cgroupns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


@dataclass(frozen=True, slots=True)
class Podman:
    """Podman with its own storage."""

    root: Path

    def run(self, *arguments: str, check: bool = True, timeout: float = 180) -> str:
        """Run a podman command and return its output.

        Raises:
            AssertionError: it failed, and `check` is set.
        """
        environment = {
            **os.environ,
            "CONTAINERS_CONF": str(self.root / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.root / "storage.conf"),
        }
        done = subprocess.run(
            [PODMAN, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
            preexec_fn=_lower_limits,
        )
        output = done.stdout.decode(errors="replace")
        assert done.returncode == 0 or not check, f"podman {' '.join(arguments)}:\n{output}"
        return output


def _lower_limits() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (NO_FILES, NO_FILES))


@contextmanager
def podman(archive: Path) -> Iterator[Podman]:
    """Give podman with the image of `archive` (docker save) loaded; delete all that it made afterwards."""
    require_engine_tools(PODMAN, "runc", "conmon")
    root = Path(tempfile.mkdtemp(prefix="dimse-mesh-podman-", dir="/var/tmp"))
    (root / "containers.conf").write_text(CONTAINERS_CONF)
    storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{root}/graph"\nrunroot = "{root}/run"\n'
    (root / "storage.conf").write_text(storage)
    made = Podman(root)
    try:
        made.run("load", "--quiet", "--input", str(archive))
        yield made
    finally:
        made.run("pod", "rm", "--force", "--all", "--time", "5", check=False)
        remove_tree(root)


def playable(objects: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, int]]:
    """Return Pods and ConfigMaps of an API server as `podman play kube` takes them, and each Pod's health port.

    Changed are: host networking, so a health port per pod; the HTTP probe as the command that does the same
    (podman would call curl).
    """
    kept: list[dict[str, Any]] = []
    ports: dict[str, int] = {}
    for served in objects:
        item = copy.deepcopy(dict(served))
        metadata = item["metadata"]
        item["metadata"] = {"name": metadata["name"], "labels": metadata.get("labels", {})}
        item.pop("status", None)
        kept.append(item)
        if item["kind"] == "Pod":
            port = ports[metadata["name"]] = reserve_port()
            pod = item["spec"]
            pod["hostNetwork"] = True
            (container,) = pod["containers"]
            container["ports"] = []
            container["env"].append({"name": "DIMSE_MESH_OBSERVABILITY__HTTP__PORT", "value": str(port)})
            del container["startupProbe"], container["readinessProbe"]
            probe = container["livenessProbe"]
            path = probe.pop("httpGet")["path"]
            request = f"exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET {path} HTTP/1.1\\r\\n\\r\\n' >&3"
            script = f"{request} && head -n 1 <&3 | grep -q ' 200 '"
            # podman joins the words with spaces and gives them to a shell.
            probe["exec"] = {"command": ["bash", "-c", shlex.quote(script)]}
    return yaml.safe_dump_all(kept, sort_keys=False), ports
