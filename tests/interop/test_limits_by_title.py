"""How many associations an address, a calling and a called AE title may hold, and how many open a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.exposition import exposition, samples_of
from tests.support.mesh import SERVICES, Ae, Mesh, zone_config
from tests.support.ports import reserve_port, reserve_ports
from tests.support.process import wait_until
from tests.support.scripted import Client, Rejected, Server

LOCAL_LIMIT_EXCEEDED = (2, 3, 2)


@pytest.fixture(scope="module")
def pages() -> int:
    """The hospital's first health port; its front-end's."""
    return reserve_ports(len(SERVICES))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, pages: int) -> Iterator[Mesh]:
    archive = Ae("ARCHIVE", reserve_port(), "cloud")
    limits = {
        "associations_per_address": 16,
        "associations_per_calling_ae": 8,
        "associations_per_called_ae": 12,
        "calling_ae_openings_per_second": 1,
        "calling_ae_openings_at_once": 10,
        "called_ae_openings_per_second": 1,
        "called_ae_openings_at_once": 20,
    }
    hospital = zone_config(
        "hospital",
        listener=reserve_port(),
        more={
            "association": {"limits": limits},
            "observability": {"http": {"host": "127.0.0.1", "port": pages}},
            "routes": [{"called": "*", "to": {"ae": "ARCHIVE"}}],
        },
    )
    cloud = zone_config("cloud", remote_aes=[archive])
    with (
        Server(port=archive.port),
        Mesh.start(tmp_path_factory.mktemp("by-title"), [hospital, cloud]) as mesh,
    ):
        yield mesh


MANY = [f"X{number}" for number in range(60)]
ONE = ["ONE"] * 60


@pytest.mark.parametrize(
    ("code", "titles", "most"),
    [
        ("calling-ae-limit", (MANY, ONE), 8),
        ("called-ae-limit", (ONE, MANY), 12),
        ("address-limit", (MANY, MANY), 16),
    ],
)
def test_open_associations(
    mesh: Mesh, pages: int, code: str, titles: tuple[list[str], list[str]], most: int
) -> None:
    called, calling = titles
    before = value(pages, "associations_rejected_total")
    nobody_is_left(pages)
    with ExitStack() as opened:
        for number in range(most):
            opened.enter_context(opening(mesh, called[number], calling[number]))
        with pytest.raises(Rejected) as caught:
            opening(mesh, called[most], calling[most])
        assert caught.value.triple == LOCAL_LIMIT_EXCEEDED
    wait_until(lambda: code in mesh.log.read_text(), "a line says why")
    assert value(pages, "associations_rejected_total") == before + 1


@pytest.mark.parametrize(
    ("code", "titles", "at_once"),
    [
        ("calling-ae-too-fast", (MANY, ["FAST"] * 60), 10),
        ("called-ae-too-fast", (["BUSY"] * 60, MANY), 20),
    ],
)
def test_openings_a_second(
    mesh: Mesh, pages: int, code: str, titles: tuple[list[str], list[str]], at_once: int
) -> None:
    nobody_is_left(pages)
    let_in, refused = 0, None
    for called, calling in zip(*titles, strict=True):
        try:
            with opening(mesh, called, calling) as client:
                client.release()
        except Rejected as answer:
            refused = answer.triple
            break
        let_in += 1
    assert refused == LOCAL_LIMIT_EXCEEDED
    assert let_in >= at_once
    wait_until(lambda: code in mesh.log.read_text(), "a line says why")
    with opening(mesh, "OTHER", "OTHER") as client:
        client.release()


def nobody_is_left(pages: int) -> None:
    wait_until(lambda: value(pages, "associations_open") == 0, "those of the test before have ended")


def opening(mesh: Mesh, called: str, calling: str) -> Client:
    return Client.open(mesh.listeners["hospital"], called=called, calling=calling)


def value(pages: int, name: str) -> float:
    return sum(
        sample.value for sample in samples_of(exposition(pages)) if sample.name == f"dimse_mesh_{name}"
    )
