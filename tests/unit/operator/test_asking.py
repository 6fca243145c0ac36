"""The operator follows no redirect, of a pod or of the API server, and trusts no API server that it can't check.

What it can't use, it says why.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from dimse_mesh.operator.cluster import ApiError, connected
from dimse_mesh.operator.credentials import Credentials, CredentialsError, credentials
from dimse_mesh.operator.pods import asking


class Trap:
    """Redirects everything to a page of its own, and counts who comes there."""

    def __init__(self) -> None:
        self.caught = 0
        self.asked = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request."""
        if request.path == "/elsewhere":
            self.caught += 1
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})
        self.asked += 1
        raise web.HTTPTemporaryRedirect("/elsewhere")


@asynccontextmanager
async def answering(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[int]:
    """Answer every request; yield the port."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def trapped() -> AsyncIterator[tuple[Trap, int]]:
    trap = Trap()
    async with answering(trap.answer) as port:
        yield trap, port


@pytest.mark.anyio
async def test_a_pod_cannot_send_the_operator_elsewhere() -> None:
    async with trapped() as (trap, port), asking() as pods:
        pod: dict[str, Any] = {
            "metadata": {"name": "a", "labels": {}},
            "spec": {"containers": [{"ports": [{"name": "http", "containerPort": port}]}]},
            "status": {"phase": "Running", "podIP": "127.0.0.1"},
        }
        reports = await pods.ask([pod], metrics=True)
    assert trap.asked
    assert not trap.caught
    assert reports[0].associations is None


@pytest.mark.anyio
async def test_an_api_server_that_redirects_is_a_failure() -> None:
    async with trapped() as (trap, port):
        login = Credentials(
            f"http://127.0.0.1:{port}", None, "default", lambda: {"Authorization": "Bearer s"}
        )
        async with connected(login) as cluster:
            with pytest.raises(ApiError):
                await cluster.get("Secret", "default", "a")
            with pytest.raises(ApiError):
                async for _ in cluster.watch("Pod", None, {}, "1"):
                    pass
    assert trap.asked == 2
    assert not trap.caught


@pytest.mark.anyio
async def test_an_api_server_that_answers_a_watch_with_a_page_is_a_failure() -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>\n", content_type="text/html")

    async with answering(page) as port:
        login = Credentials(f"http://127.0.0.1:{port}", None, "default", dict)
        async with connected(login) as cluster:
            with pytest.raises(ApiError, match="a watch broke"):
                async for _ in cluster.watch("Pod", None, {}, "1"):
                    pass


KUBECONFIG: dict[str, Any] = {
    "current-context": "a",
    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    "clusters": [{"name": "a", "cluster": {"server": "https://api:6443"}}],
    "users": [{"name": "a", "user": {"token": "secret"}}],
}


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (KUBECONFIG | {"current-context": "b"}, "there is no context b"),
        ({"contexts": []}, "there is no current-context"),
        (["a"], "it is no kubeconfig"),
        (
            KUBECONFIG | {"users": [{"name": "a", "user": {"client-certificate-data": "abc"}}]},
            "certificates or key can't be loaded: Incorrect padding",
        ),
        (
            KUBECONFIG | {"users": [{"name": "a", "user": {"client-certificate": "none.pem"}}]},
            "there is no client-key beside the certificate",
        ),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_says_why(document: Any, why: str, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(CredentialsError) as caught:
        credentials({"KUBECONFIG": str(file)})
    assert str(caught.value) == f"{file}: {why}"


def test_a_kubeconfig_that_skips_the_check_of_the_certificate_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "config"
    cluster = {"server": "https://api:6443", "insecure-skip-tls-verify": True}
    file.write_text(yaml.safe_dump(KUBECONFIG | {"clusters": [{"name": "a", "cluster": cluster}]}))
    login = credentials({"KUBECONFIG": str(file)})
    assert login.tls is not None
    assert login.tls.verify_mode == ssl.CERT_NONE
    assert "our token goes to whoever answers as https://api:6443" in caplog.text
