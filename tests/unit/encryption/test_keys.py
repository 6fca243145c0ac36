"""A zone's keys: files, ids, and what is said of those that are unusable."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dimse_mesh.encryption import EncryptionError
from dimse_mesh.encryption.errors import UnusableKey
from dimse_mesh.encryption.keys import ZoneKeys, read_folder, write_key


def test_a_key_that_was_written_is_read_again_and_is_nobody_elses(tmp_path: Path) -> None:
    written = write_key(tmp_path / "keys" / "1.key")
    (read,) = read_folder(tmp_path / "keys")
    assert read.public == written.public or read.public.text == written.public.text
    assert stat.S_IMODE((tmp_path / "keys" / "1.key").stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    write_key(tmp_path / "1.key")
    before = (tmp_path / "1.key").read_bytes()
    with pytest.raises(UnusableKey, match="can't be written"):
        write_key(tmp_path / "1.key")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"1.key": before}


def test_the_last_key_seals_and_all_open(tmp_path: Path) -> None:
    old, new = write_key(tmp_path / "1.key"), write_key(tmp_path / "2.key")
    coming = write_key(tmp_path / "3.next")
    keys = ZoneKeys.load("here", tmp_path, {"there": [old.public.text]})
    assert keys.current.public.id == new.public.id
    assert {key.id for key in keys.public["here"]} == {old.public.id, new.public.id, coming.public.id}
    assert keys.public["here"][0].id == new.public.id
    for key in (old, new, coming):
        assert keys.private_key(key.public.id).private_bytes_raw() == key.key.private_bytes_raw()


def test_a_folder_without_a_key_is_no_start(tmp_path: Path) -> None:
    write_key(tmp_path / "1.next")
    with pytest.raises(UnusableKey, match="encryption-keys --new"):
        ZoneKeys.load("here", tmp_path, {})
    with pytest.raises(UnusableKey, match="can't be read"):
        ZoneKeys.load("here", tmp_path / "missing", {})


def test_a_file_that_is_no_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.key").write_text("not a key")
    with pytest.raises(UnusableKey, match=r"1\.key"):
        read_folder(tmp_path)


def test_a_public_key_that_is_none_is_named(tmp_path: Path) -> None:
    write_key(tmp_path / "1.key")
    with pytest.raises(UnusableKey, match=r"encryption\.zones\.there"):
        ZoneKeys.load("here", tmp_path, {"there": ["AAAA"]})


def test_public_keys_stand_in_a_file_one_a_line_too(tmp_path: Path) -> None:
    old, new = write_key(tmp_path / "there" / "1.key"), write_key(tmp_path / "there" / "2.key")
    write_key(tmp_path / "1.key")
    file = tmp_path / "there.pub"
    file.write_text(f"{new.public.text}\n{old.public.text}\n")
    keys = ZoneKeys.load("here", tmp_path, {"there": file})
    assert [key.id for key in keys.public["there"]] == [new.public.id, old.public.id]
    for text, words in (("", "holds no public key"), ("AAAA\n", "not 32 bytes")):
        file.write_text(text)
        with pytest.raises(UnusableKey, match=words):
            ZoneKeys.load("here", tmp_path, {"there": file})
    file.unlink()
    with pytest.raises(UnusableKey, match=r"there\.pub: can't be read"):
        ZoneKeys.load("here", tmp_path, {"there": file})


def test_unknown_ids_have_codes_of_their_own(tmp_path: Path) -> None:
    write_key(tmp_path / "1.key")
    keys = ZoneKeys.load("here", tmp_path, {})
    with pytest.raises(EncryptionError) as ours:
        keys.private_key("0" * 16)
    with pytest.raises(EncryptionError) as theirs:
        keys.public_key("there", "0" * 16)
    assert (ours.value.code, theirs.value.code) == ("encryption-key-not-ours", "encryption-key-unknown")
