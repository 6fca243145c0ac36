"""Odd but well-formed command sets: what pydicom reads in them, we read."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_keyword, dictionary_VR
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from dimse_mesh.dimse import CommandField, CommandSet, Tag, parse_head
from dimse_mesh.dimse.tags import VALUE_REPRESENTATIONS


def read(data: bytes) -> Dataset:
    return read_dataset(BytesIO(data), is_implicit_VR=True, is_little_endian=True)


def write(elements: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = True, True
    write_dataset(buffer, elements)
    return buffer.getvalue()


def command_set(**values: object) -> Dataset:
    elements = Dataset()
    elements.set_original_encoding(True, True, None)
    elements.CommandField = 0x0001
    elements.CommandDataSetType = 0x0000
    elements.MessageID = 1
    for keyword, value in values.items():
        setattr(elements, keyword, value)
    return elements


@pytest.mark.parametrize("tag", Tag)
def test_tags_have_the_dictionarys_keyword_and_value_representation(tag: Tag) -> None:
    assert dictionary_keyword(tag) == tag.name
    assert dictionary_VR(tag) == VALUE_REPRESENTATIONS[tag]


@pytest.mark.parametrize(
    "elements",
    [
        command_set(),
        command_set(MoveDestination="A", AffectedSOPClassUID="1.2", AffectedSOPInstanceUID="1.2.3"),
        command_set(MoveDestination="", AffectedSOPInstanceUID=""),
        command_set(CommandLengthToEnd=20, CommandRecognitionCode="OLD", Initiator="X", DisplayFormat="T"),
        command_set(Overlays=[1, 2, 3], NumberOfMatches=1, Copies="3"),
        command_set(AttributeIdentifierList=[0x00100010, 0x00100020], OffendingElement=0x00080005),
        command_set(CommandGroupLength=1),
    ],
    ids=["minimal", "odd texts", "empty values", "retired texts", "retired numbers", "tags", "wrong length"],
)
def test_what_pydicom_writes_is_read_and_kept(elements: Dataset) -> None:
    data = write(elements)
    command = CommandSet.parse(data)
    assert command.encode() == data
    assert list(command) == [int(element.tag) for element in elements]
    assert command.command_field == CommandField.C_STORE_RQ
    assert (command.move_destination or "") == elements.get("MoveDestination", "")
    assert (command.affected_sop_class_uid or "") == elements.get("AffectedSOPClassUID", "")
    assert (command.affected_sop_instance_uid or "") == elements.get("AffectedSOPInstanceUID", "")
    assert parse_head(data).sop_class == (command.affected_sop_class_uid or "")


def test_what_replace_writes_is_read_by_pydicom() -> None:
    data = write(command_set(Overlays=[1, 2], AffectedSOPClassUID="1.2.3"))
    changed = CommandSet.parse(data).replace(
        {
            Tag.MessageID: 500,
            Tag.MoveOriginatorApplicationEntityTitle: "MESH A",
            Tag.AffectedSOPInstanceUID: "1.2.3",
            Tag.OffendingElement: 0x00080005,
        }
    )
    elements = read(changed.encode())
    assert elements.CommandGroupLength == len(changed.encode()) - 12
    assert elements.MessageID == 500
    assert elements.MoveOriginatorApplicationEntityTitle == "MESH A"
    assert elements.AffectedSOPInstanceUID == "1.2.3"
    assert elements.OffendingElement == 0x00080005
    assert elements.Overlays == [1, 2]
    assert [element.tag for element in elements] == sorted(element.tag for element in elements)
