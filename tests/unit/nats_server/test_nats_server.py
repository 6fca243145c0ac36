"""How the embedded nats-server is tuned."""

from __future__ import annotations

import pytest

from dimse_mesh.nats_server.version import tuning


@pytest.mark.parametrize(("cores", "threads"), [(1, "1"), (2, "1"), (3, None), (64, None)])
def test_few_cores_give_the_server_one_thread(cores: int, threads: str | None) -> None:
    assert tuning(cores).get("GOMAXPROCS") == threads


def test_memory_is_bounded_wherever_garbage_is_collected_less_often() -> None:
    assert {"GOGC", "GOMEMLIMIT"} <= tuning(8).keys()


def test_jetstream_has_room_for_its_working_set() -> None:
    assert tuning(2)["GOMEMLIMIT"] == "60MiB"
    assert tuning(2, jetstream=True)["GOMEMLIMIT"] == "192MiB"
