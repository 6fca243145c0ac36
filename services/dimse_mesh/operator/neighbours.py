"""Operators of single namespaces beside one of the whole cluster: who looks after the zones of a namespace.

An operator of one namespace holds a Lease there. While it does, the operator of the cluster leaves the zones of that
namespace alone: two of them, of different images, would replace each other's pods without end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dimse_mesh.operator.names import Manifest

MARGIN_SECONDS = 5.0
"""How much longer than its duration a Lease counts here: its holder may be late, and so may the watch."""


@dataclass(slots=True)
class _Held:
    holder: str
    version: str
    seen_at: float
    lasts: float


class Neighbours:
    """The Leases of other operators.

    Args:
        own: the namespace of our own Lease.
    """

    def __init__(self, own: str, clock: Callable[[], float]) -> None:
        self._own = own
        self._clock = clock
        self._held: dict[str, _Held] = {}

    def saw(self, lease: Manifest) -> None:
        """Take note of a Lease. It lapses when it hasn't been renewed for its duration, as seen here."""
        metadata, spec = lease["metadata"], lease.get("spec") or {}
        namespace, version = metadata["namespace"], str(metadata["resourceVersion"])
        holder = str(spec.get("holderIdentity") or "")
        if namespace == self._own:
            return
        known = self._held.get(namespace)
        if not holder:
            self.gone(lease)
        elif known is None or known.version != version:
            lasts = float(spec.get("leaseDurationSeconds") or 0) + MARGIN_SECONDS
            self._held[namespace] = _Held(holder, version, self._clock(), lasts)

    def gone(self, lease: Manifest) -> None:
        """Take note that a Lease was deleted."""
        self._held.pop(lease["metadata"]["namespace"], None)

    def holder(self, namespace: str) -> str:
        """Return who looks after the zones of a namespace; empty: nobody else."""
        held = self._held.get(namespace)
        return held.holder if held is not None and self._clock() - held.seen_at <= held.lasts else ""
