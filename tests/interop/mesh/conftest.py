"""A real nats-server for each test, and meshes on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from dimse_mesh.mesh import Mesh, NatsSettings, open_mesh
from tests.support.nats import NatsServer, nats_server

Join = Callable[..., AbstractAsyncContextManager[Mesh]]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Run every test here on both loops."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server with nothing configured."""
    with nats_server(tmp_path / "nats") as running:
        yield running


@pytest.fixture
def join(server: NatsServer) -> Join:
    """Open a mesh on `server`."""

    def joined(instance: str = "one", *, zone: str = "hospital", **settings: Any) -> Any:
        return open_mesh(
            NatsSettings(**{"servers": [server.url], **settings}),
            root="DIMSE",
            zone=zone,
            instance=instance,
            name=f"test {instance}",
            first_connect_timeout=5,
        )

    return joined


@pytest.fixture
async def pair(join: Join) -> AsyncIterator[tuple[Mesh, Mesh]]:
    """Two instances on one server."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(join("one"))
        two = await stack.enter_async_context(join("two"))
        yield one, two
