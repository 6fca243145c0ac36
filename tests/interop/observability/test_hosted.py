"""Handlers in the front-end's process: the same decisions, spans and counts, and no process of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fault.archive import STORE
from tests.fault.clients import ask_find
from tests.interop.observability.observed import (
    ARCHIVE,
    FRONT_END,
    MPPS,
    N_CREATE,
    READ_ONLY,
    Observed,
    observed,
)
from tests.interop.observability.test_traces import ECHO, WAY, assert_path, one_operation
from tests.support.files import pattern
from tests.support.wire import Command, Tag, request, store_rq

HANDLERS = ["store", "query_retrieve", "n_service"]
NOT_AUTHORIZED = 0x0124


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """Two zones whose front-ends host all handlers, under the permissions that nats-config prints for that."""
    with observed(
        tmp_path_factory.mktemp("hosted"), more={"association": {"hosted_handlers": HANDLERS}}
    ) as made:
        yield made


def test_no_handler_has_a_process(hosted: Observed) -> None:
    assert {"hospital/association", "cloud/association", "cloud/scu", "hospital/scu"} <= set(
        hosted.mesh.pids()
    )
    assert not any(name.endswith(("store", "retrieve", "n-service")) for name in hosted.mesh.pids())


@pytest.mark.parametrize("size", [0, 2_000, 3_000_000])
def test_a_store_has_its_handler_s_span(hosted: Observed, size: int) -> None:
    with hosted.open(f"H-STORE-{size}") as client:
        assert client.exchange(store_rq(1, "1.2.3.4", pattern(size), context_id=STORE)).status == 0
        client.release()
    assert_path(one_operation(hosted, f"H-STORE-{size}", WAY), "C-STORE", "store")


def test_a_find_and_an_n_create_have_their_handlers_spans(hosted: Observed) -> None:
    with hosted.open("H-FIND") as client:
        ask_find(client, 500)
        client.release()
    assert_path(one_operation(hosted, "H-FIND", WAY), "C-FIND", "query_retrieve")
    with hosted.open("H-CREATE") as client:
        create = request(
            Command.N_CREATE,
            1,
            MPPS,
            data=b"",
            context_id=N_CREATE,
            more={Tag.AFFECTED_SOP_INSTANCE: "1.2.9"},
        )
        assert client.exchange(create).status == 0
        client.release()
    assert_path(one_operation(hosted, "H-CREATE", WAY), "N-CREATE", "n_service")


def test_an_echo_has_no_handler_here_either(hosted: Observed) -> None:
    with hosted.open("H-ECHO") as client:
        assert client.echo() == 0
        client.release()
    assert_path(one_operation(hosted, "H-ECHO", ECHO), "C-ECHO", None)


def test_what_the_route_forbids_is_refused_and_counted(hosted: Observed) -> None:
    name = "dimse_mesh_handler_operations_total"
    before = hosted.value(FRONT_END, name, service="C-STORE")
    with hosted.open("H-REFUSED", called=READ_ONLY) as client:
        assert (
            client.exchange(store_rq(1, "1.2.3.4", pattern(200_000), context_id=STORE)).status
            == NOT_AUTHORIZED
        )
        assert client.echo(2) == 0
        client.release()
    with hosted.open("H-APPROVED", called=ARCHIVE) as client:
        assert client.exchange(store_rq(1, "1.2.3.4", b"", context_id=STORE)).status == 0
        client.release()
    assert hosted.value(FRONT_END, name, service="C-STORE") == before + 2
    assert hosted.value(FRONT_END, name, service="C-STORE", decision="approved") >= 1
