"""What the operations of one association come to: numbers by service and outcome, instances by SOP class."""

from __future__ import annotations

from typing import Final

MOST_CLASSES: Final = 64
"""SOP classes that are counted apart: a peer may name any number of them."""
OTHER_CLASSES: Final = "other"


class OperationSummary:
    """Counts finished operations that one peer asked for."""

    __slots__ = ("instances", "operations")

    def __init__(self) -> None:
        self.operations: dict[tuple[str, str], int] = {}
        """By service and outcome."""
        self.instances: dict[str, int] = {}
        """That were stored, by SOP class."""

    def add(self, service: str, outcome: str, sop_class: str) -> None:
        """Count one operation."""
        key = (service, outcome)
        self.operations[key] = self.operations.get(key, 0) + 1
        if service == "C-STORE" and outcome in {"success", "warning"}:
            known = sop_class in self.instances or len(self.instances) < MOST_CLASSES
            name = sop_class if known else OTHER_CLASSES
            self.instances[name] = self.instances.get(name, 0) + 1

    def of(self, service: str) -> int:
        """Return how many operations of a service have ended, whatever their outcome."""
        return sum(count for (name, _), count in self.operations.items() if name == service)
