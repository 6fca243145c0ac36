"""A real nats-server for each test, and meshes on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from dimse_mesh.mesh import Mesh, NatsSettings
from dimse_mesh.schemas.addresses import Role
from tests.support import bus
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

    def joined(
        instance: str = "one", *, zone: str = "hospital", role: Role = Role.ASSOCIATION, **settings: Any
    ) -> Any:
        return bus.join(
            NatsSettings(**{"servers": [server.url], **settings}),
            bus.address(instance, zone=zone, role=role),
        )

    return joined


@pytest.fixture
async def pair(join: Join) -> AsyncIterator[tuple[Mesh, Mesh]]:
    """Two instances on one server."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(join("one"))
        two = await stack.enter_async_context(join("two"))
        yield one, two
