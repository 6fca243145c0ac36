"""What an instrument is: a name, and how its values are read when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from dimse_mesh.runtime.counters import Counters, Load

Values = Iterable[tuple[float, Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument: its OpenTelemetry name, and how its values are read."""

    kind: Literal["counter", "gauge"]
    name: str
    description: str
    read: Callable[[Counters, Load | None], Values]
    unit: str = ""
