"""A kubelet's part for one rendered service: its configuration and Secrets as files, its process, its last words."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dimse_mesh.operator.names import Component
from dimse_mesh.operator.zone import SECRETS_DIR, parse_spec, secret_uses, zone_settings
from tests.support.forking import SERVICES
from tests.support.ports import reserve_port
from tests.support.process import Child

Secrets = Mapping[str, Mapping[str, str | bytes]]
"""Secret -> key -> value."""


@dataclass(frozen=True, slots=True)
class Started:
    """A service that runs, or ran."""

    child: Child
    health: int

    def readyz(self) -> tuple[int, str]:
        """Return status and text of /readyz; status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/readyz", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    @property
    def last_words(self) -> str:
        """What `terminationMessagePolicy: FallbackToLogsOnError` would put into the pod's status."""
        lines = self.child.output.splitlines()
        return lines[-1] if lines else ""


def start(directory: Path, spec: Mapping[str, Any], component: Component, secrets: Secrets) -> Started:
    """Start one service of a DimseProxy on 127.0.0.1, as its Deployment would."""
    parsed = parse_spec(spec)
    directory.mkdir(parents=True, exist_ok=True)
    mounted = directory / "secrets"
    environment: dict[str, str] = {}
    for use in secret_uses(parsed, component):
        for key in use.keys if use.volume else ():
            file = mounted / use.volume / key
            file.parent.mkdir(parents=True, exist_ok=True)
            value = secrets[use.secret][key]
            file.write_bytes(value if isinstance(value, bytes) else value.encode())
        for name, key in (use.environment or {}).items():
            environment[name] = str(secrets[use.secret][key])
    document = zone_settings(parsed, component)
    health = reserve_port()
    document["observability"]["http"] = {"host": "127.0.0.1", "port": health}
    for listener in document["association"].get("listeners", ()):
        listener |= {"host": "127.0.0.1", "port": reserve_port()}
    config = directory / "zone.yaml"
    config.write_text(yaml.safe_dump(document).replace(SECRETS_DIR, str(mounted)))
    command = [sys.executable, "-m", "dimse_mesh.app", "run", component.value, "--config", str(config)]
    return Started(Child(command, log=directory / "service.log", env=environment, fork=SERVICES), health)
