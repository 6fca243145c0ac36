"""Which nats-server this version of dimse-mesh is tried with.

The one place where the version stands as code; `pyproject.toml`, `compose.yaml`, `k8s/nats` and the tests are compared
with it. Not below 2.15: older servers ignored `sync_interval: always` when they compacted a block, and lost
acknowledged messages on a power failure (nats-server #8456, #8475).
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "2.15.1"
IMAGE: Final = f"nats:{VERSION}-alpine"
"""The official image of that version."""
