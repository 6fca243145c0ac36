"""How tests are shared out among processes (`make test`): what shares costly fixtures stays together."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
TOGETHER = {
    "cluster": ("cluster",),
    "containers": ("interop/deploy", "conformance/deploy"),
}
"""Group -> folders whose tests run one after the other: with one API server, with one container engine."""


def group_of(path: Path) -> str:
    """Return the group of a test file; that of most is the file itself."""
    relative = path.relative_to(HERE)
    for name, folders in TOGETHER.items():
        if any(relative.is_relative_to(folder) for folder in folders):
            return name
    return str(relative)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of each test."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item.path)))
