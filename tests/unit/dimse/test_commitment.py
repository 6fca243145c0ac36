"""The data sets of storage commitment, against pydicom."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import generate_uid

from dimse_mesh.dimse.commitment import (
    COMMITMENT_SYNTAXES,
    CommitmentAction,
    CommitmentResult,
    Reference,
    encode_action,
    encode_result,
    read_action,
    read_result,
)
from dimse_mesh.dimse.encoding import IMPLICIT_LE

CT = "1.2.840.10008.5.1.4.1.1.2"


def encoded(data_set: Dataset, syntax: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = syntax == IMPLICIT_LE, True
    write_dataset(buffer, data_set)
    return bytes(buffer.getvalue())


def decoded(data: bytes, syntax: str) -> Dataset:
    return read_dataset(BytesIO(data), is_implicit_VR=syntax == IMPLICIT_LE, is_little_endian=True)


@pytest.mark.parametrize("syntax", COMMITMENT_SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True])
def test_reads_what_pydicom_writes(syntax: str, undefined: bool) -> None:
    wanted, items = Dataset(), []
    for _ in range(3):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, generate_uid()
        item.is_undefined_length_sequence_item = undefined
        items.append(item)
    wanted.TransactionUID, wanted.ReferencedSOPSequence = generate_uid(), items
    wanted["ReferencedSOPSequence"].is_undefined_length = undefined
    wanted.StorageMediaFileSetID = "DISK"
    got = read_action(encoded(wanted, syntax), syntax)
    assert got.transaction == wanted.TransactionUID
    assert [each.sop_instance for each in got.references] == [item.ReferencedSOPInstanceUID for item in items]


@pytest.mark.parametrize("syntax", COMMITMENT_SYNTAXES)
def test_pydicom_reads_what_is_written(syntax: str) -> None:
    result = CommitmentResult("1.2.3", (Reference(CT, "1.2.3.4"),), ((Reference(CT, "1.2.3.5"), 0x0112),))
    got = decoded(encode_result(result, syntax), syntax)
    assert got.TransactionUID == "1.2.3"
    assert got.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"
    assert got.FailedSOPSequence[0].FailureReason == 0x0112
    assert [element.tag for element in got] == sorted(element.tag for element in got)


UIDS = st.text("0123456789.", min_size=1, max_size=64)
REFERENCES = st.builds(Reference, UIDS, UIDS)


@given(
    st.sampled_from(COMMITMENT_SYNTAXES),
    UIDS,
    st.lists(REFERENCES, min_size=1, max_size=5),
    st.lists(st.tuples(REFERENCES, st.integers(0, 0xFFFF)), max_size=5),
)
def test_round_trip(
    syntax: str, transaction: str, references: list[Reference], failed: list[tuple[Reference, int]]
) -> None:
    action = CommitmentAction(transaction, tuple(references))
    assert read_action(encode_action(action, syntax), syntax) == action
    result = CommitmentResult(transaction, tuple(references), tuple(failed))
    assert read_result(encode_result(result, syntax), syntax) == result


@given(st.binary(max_size=200), st.sampled_from(COMMITMENT_SYNTAXES))
def test_anything_else_is_a_value_error(data: bytes, syntax: str) -> None:
    for read in (read_action, read_result):
        with suppress(ValueError):
            read(data, syntax)


@pytest.mark.parametrize("syntax", COMMITMENT_SYNTAXES)
def test_a_request_that_breaks_off_is_a_value_error(syntax: str) -> None:
    whole = encode_action(CommitmentAction("1.2", (Reference(CT, "1.2.3"),)), syntax)
    for size in range(len(whole)):
        with pytest.raises(ValueError, match=r"it|a UID|an element|an item|a sequence"):
            read_action(whole[:size], syntax)
