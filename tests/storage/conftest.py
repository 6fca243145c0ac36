"""The S3 server of a file's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.storage.s3 import S3Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run one with an empty bucket."""
    directory = tmp_path_factory.mktemp("server")
    with S3Server(directory / "s3", directory / "s3.log") as started:
        yield started
