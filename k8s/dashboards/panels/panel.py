"""A panel of a dashboard, as a row of a table."""

from __future__ import annotations

from typing import NamedTuple


class Panel(NamedTuple):
    """One panel: its queries are (PromQL, legend), or one of Jaeger's for the kinds that `JAEGER_QUERIES` has."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    description: str = ""
    width: int = 12
