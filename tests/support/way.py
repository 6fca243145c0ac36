"""The way from a client to a target: through the mesh, or (INTEROP_DIRECT=1) straight, as a control.

The control run tells a wrong test from a wrong product: what passes straight has to pass through the mesh.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.support.mesh import Ae, Mesh


@dataclass(slots=True)
class Way:
    """Where to connect to reach an AE, and a pool of AE titles to start targets for."""

    mesh: Mesh | None
    aes: Mapping[str, Ae]
    _free: dict[str, deque[Ae]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for ae in self.aes.values():
            if ae.title.startswith(ae.zone.upper()):
                self._free.setdefault(ae.zone, deque()).append(ae)

    def entry(self, ae: Ae) -> int:
        """Return the port to connect to, in the zone that `ae` is not in."""
        if self.mesh is None:
            return ae.port
        return self.mesh.listeners["hospital" if ae.zone == "cloud" else "cloud"]

    def need_mesh(self) -> Mesh:
        """Return the mesh; a control run skips the test."""
        if self.mesh is None:
            pytest.skip("a control run (INTEROP_DIRECT=1) has no mesh")
        return self.mesh

    @contextmanager
    def borrowed(self, zone: str = "cloud") -> Iterator[Ae]:
        """Lend an AE title of `zone` that no other test is using."""
        ae = self._free[zone].popleft()
        try:
            yield ae
        finally:
            self._free[zone].append(ae)
