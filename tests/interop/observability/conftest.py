"""One observed mesh for all tests of this directory that don't ask for another configuration."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.observability.observed import Observed, observed


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """Two zones, all spans sampled, metrics served, logs at debug level."""
    with observed(tmp_path_factory.mktemp("observed")) as made:
        yield made
