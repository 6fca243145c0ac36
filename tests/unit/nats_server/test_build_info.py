"""What a binary of Go says of itself, and what is told by a version."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimse_mesh.nats_server.build_info import BuildInfo, build_info, parse_build_info
from dimse_mesh.nats_server.version import VERSION, is_recent
from tests.support.nats import nats_server_binary

HEAD = b"\xff Go buildinf:\x08\x02" + bytes(16)
MARK = bytes(range(16))


def made(module: bytes, go: bytes = b"go1.25.1") -> bytes:
    """Return build information."""
    text = MARK + module + MARK
    length = bytes((len(text) & 0x7F | 0x80, len(text) >> 7)) if len(text) > 127 else bytes((len(text),))
    return HEAD + bytes((len(go),)) + go + length + text


def test_the_binary_that_is_shipped_is_nats_server() -> None:
    built = build_info(Path(nats_server_binary()))
    assert built is not None
    assert built.is_nats_server
    assert built.go.startswith("go1.")


def test_path_and_version_of_the_main_module_are_read() -> None:
    lines = (
        b"path\tgithub.com/nats-io/nats-server/v2\nmod\tgithub.com/nats-io/nats-server/v2\tv2.15.1\th1:x\n"
    )
    found = parse_build_info(made(lines + b"dep\tgolang.org/x/crypto\tv1\n" * 9))
    assert found == BuildInfo("github.com/nats-io/nats-server/v2", "v2.15.1", "go1.25.1")
    assert str(found) == "github.com/nats-io/nats-server/v2 v2.15.1, go1.25.1"


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("github.com/nats-io/nats-server", True),
        ("github.com/nats-io/nats-server/v3", True),
        ("github.com/nats-io/nats-server-evil", False),
        ("example.org/github.com/nats-io/nats-server", False),
    ],
)
def test_other_programs_are_told_from_it(path: str, is_one: bool) -> None:
    found = parse_build_info(made(f"path\t{path}\n".encode()))
    assert found is not None
    assert found.version == "(devel)"
    assert found.is_nats_server is is_one


@pytest.mark.parametrize("data", [b"", HEAD[:20], HEAD, made(b""), HEAD[:15] + bytes(60)])
def test_what_is_cut_short_or_of_an_old_go_says_nothing(data: bytes) -> None:
    assert parse_build_info(data) is None


def test_a_file_that_is_no_program_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_bytes(b"#!/bin/sh\n")
    assert build_info(tmp_path / "empty") is None
    assert build_info(tmp_path / "text") is None


@pytest.mark.parametrize(
    ("version", "recent"),
    [
        (VERSION, True),
        ("2.15.0", True),
        ("v2.16.0-beta.1", True),
        ("3.0.0", True),
        ("2.14.9", False),
        ("", False),
    ],
)
def test_versions_that_keep_what_they_have_acknowledged(version: str, recent: bool) -> None:
    assert is_recent(version) is recent
