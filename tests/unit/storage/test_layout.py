"""Names of objects: whatever a data set says, a name stays within its place."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.runtime.settings_storage import StorageSettings
from dimse_mesh.storage.layout import Layout, version_name

DEFAULT = StorageSettings(url="file:///data").layout


def test_the_default_layout() -> None:
    name = Layout(DEFAULT).name(
        {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.2.3", "SOPInstanceUID": "1.2.3.4"}
    )
    assert name == "1.2/1.2.3/1.2.3.4.dcm"
    assert Layout(DEFAULT).name({"SOPInstanceUID": "1.2"}) == "none/none/1.2.dcm"
    assert version_name(name, bytes(range(32))) == "1.2/1.2.3/1.2.3.4@000102030405060708090a0b0c0d0e0f.dcm"


@given(values=st.fixed_dictionaries(dict.fromkeys(("StudyInstanceUID", "SOPInstanceUID"), st.text())))
def test_names_stay_inside(values: dict[str, str]) -> None:
    name = Layout("a/{StudyInstanceUID}/{SOPInstanceUID}").name(values)
    parts = PurePosixPath(name).parts
    assert len(parts) == 3
    assert not any(part.startswith(".") or len(part) > 128 for part in parts)
    assert name.isascii()
    assert "\\" not in name
    assert "\0" not in name


@given(one=st.text(), other=st.text())
def test_different_values_have_different_names(one: str, other: str) -> None:
    layout = Layout("{SOPInstanceUID}")
    if {one, other} & {"", "none"} or one == other:
        return
    assert layout.name({"SOPInstanceUID": one}) != layout.name({"SOPInstanceUID": other})


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "file://folder"},
        {"url": "file:///"},
        {"url": "http://x"},
        {"url": "s3:///prefix"},
        {"url": "s3://key:secret@bucket"},
        {"url": "file:///data", "layout": "{SOPInstanceUID}/../x"},
        {"url": "file:///data", "layout": "/{SOPInstanceUID}"},
        {"url": "file:///data", "layout": ".incoming/{SOPInstanceUID}"},
        {"url": "file:///data", "layout": "{StudyInstanceUID}"},
        {"url": "file:///data", "layout": "{SOPInstanceUID}{PatientName}"},
        {"url": "file:///data", "layout": "{SOPInstanceUID}@x"},
        {"url": "s3://b", "s3": {"access_key_id": "key"}},
    ],
)
def test_settings_that_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        StorageSettings.model_validate(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ae_title": "X"},
        {"ae_title": "X", "host": "x"},
        {"ae_title": "X", "host": "x", "port": 104, "storage": {"url": "file:///data"}},
        {"ae_title": "X", "tls": {}, "storage": {"url": "file:///data"}},
    ],
)
def test_an_ae_is_a_peer_or_a_place(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RemoteAe.model_validate(wrong)
