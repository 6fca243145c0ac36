"""What the embedded nats-server is started by: its end is bound to ours, its timers may be late."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dimse_mesh.nats_server.launcher import launching
from dimse_mesh.nats_server.version import timer_slack

_SLACK_OF_A_THREAD = """
import threading
def tell():
    print(open(f"/proc/{threading.get_native_id()}/timerslack_ns").read(), end="")
thread = threading.Thread(target=tell)
thread.start()
thread.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a slack of timers")
@pytest.mark.parametrize("slack", [10_000_000, 123_456])
def test_every_thread_of_what_is_launched_has_the_slack(slack: int) -> None:
    command = [sys.executable, "-c", _SLACK_OF_A_THREAD]
    assert subprocess.check_output(launching(command, timer_slack=slack), text=True) == f"{slack}\n"


def test_arguments_arrive_as_they_are() -> None:
    command = [sys.executable, "-c", "import sys; print(sys.argv[1:])", "a b", "", "-c"]
    assert subprocess.check_output(launching(command, timer_slack=0), text=True) == "['a b', '', '-c']\n"


def test_a_server_that_syncs_what_it_stores_has_no_slack() -> None:
    assert timer_slack(jetstream=True) == 0
    assert timer_slack(jetstream=False) == 10_000_000
