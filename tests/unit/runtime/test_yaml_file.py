"""YAML files as people mean them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimse_mesh.runtime.settings_errors import ConfigurationError
from dimse_mesh.runtime.yaml_file import read_yaml

ODD = """
{a: 0012, b: 1_000, c: 18:00, d: 12, e: -1, f: 0x1F, g: 1.5, h: 1.5e+3, i: .inf, j: NO, k: , l: 0, m: 1:30.5,
 n: true, o: False, p: on, q: 2024-01-31, r: 007.5}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "zone.yaml"
    path.write_text(text)
    return path


def test_what_nobody_means_as_a_number_is_text(tmp_path: Path) -> None:
    assert read_yaml(written(tmp_path, ODD)) == {
        "a": "0012",
        "b": "1_000",
        "c": "18:00",
        "d": 12,
        "e": -1,
        "f": 31,
        "g": 1.5,
        "h": 1500.0,
        "i": float("inf"),
        "j": "NO",
        "k": None,
        "l": 0,
        "m": "1:30.5",
        "n": True,
        "o": False,
        "p": "on",
        "q": "2024-01-31",
        "r": "007.5",
    }


def test_all_of_it_may_be_text(tmp_path: Path) -> None:
    text = "{a: 0012, b: 12, c: 1.10, d: yes, e: , f: 2024-01-31}"
    assert read_yaml(written(tmp_path, text), as_text=True) == {
        "a": "0012",
        "b": "12",
        "c": "1.10",
        "d": "yes",
        "e": "",
        "f": "2024-01-31",
    }


@pytest.mark.parametrize("as_text", [False, True])
def test_a_key_that_stands_there_twice_is_refused(tmp_path: Path, as_text: bool) -> None:
    path = written(tmp_path, "zone: a\nroutes: []\nscu: {limits: {a: 1, b: 2, a: 3}}\n")
    with pytest.raises(ConfigurationError) as caught:
        read_yaml(path, as_text=as_text)
    assert caught.value.problems == [f"{path}: not YAML at line 3, column 28: a stands here twice"]


def test_what_is_merged_may_be_overridden(tmp_path: Path) -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, y: 3}\n"
    assert read_yaml(written(tmp_path, text)) == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
    }
