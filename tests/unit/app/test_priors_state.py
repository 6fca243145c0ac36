"""What priors keep on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimse_mesh.app.priors_state import PriorsState
from dimse_mesh.runtime.errors import StartError


def test_a_study_is_new_once_and_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "priors.sqlite"
    state = PriorsState(path)
    assert state.arrived("1.1", "VIEWER", position=7)
    assert not state.arrived("1.1", "VIEWER", position=8)
    assert state.arrived("1.1", "OTHER")
    state.close()
    state = PriorsState(path)
    assert not state.arrived("1.1", "VIEWER")
    assert state.position == 8
    state.close()


def test_what_was_moved_to_an_ae_is_no_new_study_there(tmp_path: Path) -> None:
    state = PriorsState(tmp_path / "priors.sqlite")
    state.move("1.1", "VIEWER", "begun")
    assert not state.arrived("1.1", "VIEWER")
    assert state.arrived("1.1", "OTHER")
    state.close()


def test_studies_wait_for_their_turn(tmp_path: Path) -> None:
    state = PriorsState(tmp_path / "priors.sqlite")
    for study in ("1.1", "1.2"):
        state.arrived(study, "VIEWER")
    first = state.due(10, but=set())
    assert first is not None
    state.put_off(first, 20, "it doesn't answer")
    second = state.due(10, but=set())
    assert second is not None
    assert {first.study, second.study} == {"1.1", "1.2"}
    assert state.due(10, but={(second.study, "VIEWER")}) is None
    state.ended(second, "done")
    again = state.due(20, but=set())
    assert again is not None
    assert (again.study, again.attempts) == (first.study, 1)
    assert state.counts() == {"new studies done": 1, "new studies waiting": 1}
    state.close()


def test_a_move_that_ended_long_ago_may_be_repeated_and_one_that_was_begun_is_known(tmp_path: Path) -> None:
    state = PriorsState(tmp_path / "priors.sqlite")
    assert state.move_state("1.1", "VIEWER", since=0) == ""
    state.move("1.1", "VIEWER", "begun")
    assert state.move_state("1.1", "VIEWER", since=1e12) == "begun"
    state.move("1.1", "VIEWER", "done")
    assert state.move_state("1.1", "VIEWER", since=0) == "done"
    assert state.move_state("1.1", "VIEWER", since=1e12) == ""
    state.close()


def test_one_process_at_a_time_has_the_file(tmp_path: Path) -> None:
    state = PriorsState(tmp_path / "priors.sqlite")
    with pytest.raises(StartError, match="another dimse-mesh priors"):
        PriorsState(tmp_path / "priors.sqlite")
    state.close()
    PriorsState(tmp_path / "priors.sqlite").close()


def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "priors.sqlite").write_text("something else, and long enough to be looked at " * 30)
    with pytest.raises(StartError, match="can't be used"):
        PriorsState(tmp_path / "priors.sqlite")
