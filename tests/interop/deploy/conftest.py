"""One container engine with the image built, for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers import Engine, build_image, engine


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    """The engine; DIMSE_MESH_TEST_DOCKER names the socket of one that runs already (to save time by hand)."""
    running = os.environ.get("DIMSE_MESH_TEST_DOCKER")
    if running:
        made = Engine(Path(running))
        build_image(made)
        yield made
        return
    with engine() as made:
        build_image(made)
        yield made
