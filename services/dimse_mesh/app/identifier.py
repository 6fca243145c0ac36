"""Identifiers of queries: `KEYWORD=VALUE` to a data set, data sets to and from bytes, attributes to text."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable
from io import BytesIO

from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag

from dimse_mesh.dimse.encoding import EXPLICIT_LE, IMPLICIT_LE
from dimse_mesh.runtime.settings_errors import ConfigurationError

QUERY_SYNTAXES = (EXPLICIT_LE, IMPLICIT_LE)
_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?")
_COUNT = re.compile(r"NumberOf[A-Za-z]+Related(Studies|Series|Instances)")
_NO_DICOM_DATE = re.compile(r"\d{4}[-./]\d\d?[-./]\d\d?|\d\d?[-./]\d\d?[-./]\d{2,4}")
"""Dates as people write them; what else stands there is for the PACS to judge."""
_INTEGERS = frozenset(("US", "SS", "UL", "SL", "UV", "SV"))
_FLOATS = frozenset(("FL", "FD"))
_BINARY = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN", "AT"))
UTF_8 = "ISO_IR 192"

Path = tuple[BaseTag, ...]
"""An attribute, within the first items of sequences."""


class KeyMistake(ValueError):
    """A key that can't be understood; the message says why."""


def build_identifier(keys: Iterable[str], level: str | None = None, more: Iterable[str] = ()) -> Dataset:
    """Build an identifier from `KEYWORD=VALUE` (match), `KEYWORD` (return); `Sequence.KEYWORD` is within an item.

    `more` are keys that matter only where `keys` don't say anything.

    Raises:
        ConfigurationError: keys that can't be understood, all of them.
    """
    identifier, problems = Dataset(), []
    for key in keys:
        word, _, value = key.partition("=")
        try:
            _put(identifier, parse_path(word), value, default=False)
        except KeyMistake as error:
            problems.append(f"-k {key}: {error}")
    for key in more:
        _put(identifier, parse_path(key), "", default=True)
    if problems:
        raise ConfigurationError(problems)
    if level is not None:
        identifier.QueryRetrieveLevel = level
    if not _ascii(identifier):
        identifier.SpecificCharacterSet = UTF_8
    return identifier


def parse_path(text: str) -> Path:
    """Read `Keyword`, `0010,0020`, `Sequence.Keyword` or `Sequence[0].Keyword`.

    Raises:
        KeyMistake: a keyword that isn't in the data dictionary.
    """
    return tuple(_tag(part.removesuffix("[0]")) for part in text.strip().split("."))


def check_key(word: str, value: str) -> None:
    """Find out whether a key and its value can be understood.

    Raises:
        KeyMistake: they can't.
    """
    _put(Dataset(), parse_path(word), value, default=False)


def encode_identifier(identifier: Dataset, transfer_syntax: str) -> bytes:
    """Encode it in one of `QUERY_SYNTAXES`."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax == IMPLICIT_LE
    buffer.is_little_endian = True
    write_dataset(buffer, identifier)
    return bytes(buffer.getvalue())


def decode_identifier(data: bytes, transfer_syntax: str) -> Dataset:
    """Decode what came in one of `QUERY_SYNTAXES`.

    Raises:
        ValueError: it is none; it may hold patient data, and the message doesn't.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # values that break their VR's rules: they are the peer's
            decoded = read_dataset(
                BytesIO(data), is_implicit_VR=transfer_syntax == IMPLICIT_LE, is_little_endian=True
            )
            decoded.walk(lambda *_: None)  # values are read when they are looked at: look now
    except Exception as error:  # pydicom has no exception of its own for damaged data
        raise ValueError("an identifier that can't be read") from error
    return decoded


def columns(identifier: Dataset) -> list[Path]:
    """Return every attribute of `identifier` in order, but for what is no answer."""
    found: list[Path] = []
    for element in identifier:
        if element.keyword in {"SpecificCharacterSet", "QueryRetrieveLevel"}:
            continue
        if element.VR == "SQ" and element.value:
            found += [(element.tag, *rest) for rest in columns(element.value[0])]
        else:
            found.append((element.tag,))
    return found


def title(path: Path) -> str:
    """Return the keyword of an attribute, without the sequences around it; counts in short."""
    keyword = keyword_for_tag(path[-1]) or str(path[-1])
    if counted := _COUNT.fullmatch(keyword):
        return counted[1]
    return keyword


def _tag(word: str) -> BaseTag:
    if match := _TAG.fullmatch(word):
        return Tag(int(match[1], 16), int(match[2], 16))
    number = tag_for_keyword(word)
    if number is None:
        close = difflib.get_close_matches(word, _keywords(), n=1)
        raise KeyMistake(f"unknown keyword {word!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
    return Tag(number)


def _keywords() -> list[str]:
    from pydicom.datadict import keyword_dict

    return list(keyword_dict)


def _put(identifier: Dataset, path: Path, value: str, *, default: bool) -> None:
    *sequences, tag = path
    for sequence in sequences:
        if _vr(sequence) != "SQ":
            raise KeyMistake(f"{keyword_for_tag(sequence) or sequence} is no sequence")
        if sequence not in identifier or not identifier[sequence].value:
            identifier[sequence] = DataElement(sequence, "SQ", DicomSequence([Dataset()]))
        identifier = identifier[sequence].value[0]
    if default and tag in identifier:
        return
    vr = _vr(tag)
    if vr == "SQ":
        if value:
            raise KeyMistake("a sequence takes no value: give SEQUENCE.KEYWORD=VALUE")
        identifier[tag] = DataElement(tag, "SQ", DicomSequence([]))
        return
    identifier[tag] = DataElement(tag, vr, _converted(vr, value), validation_mode=IGNORE)


def _vr(tag: BaseTag) -> str:
    try:
        return str(dictionary_VR(tag)).split(" or ", maxsplit=1)[0]
    except KeyError:
        return "LO"  # a private attribute: most are text


def _converted(vr: str, value: str) -> object:
    if not value:
        return None
    if vr == "DA" and _NO_DICOM_DATE.fullmatch(value.strip()):
        raise KeyMistake(f"{value!r} is no date: 20240131, or 20240101-20240131 for a range")
    try:
        if vr in _INTEGERS:
            return [int(part) for part in value.split("\\")]
        if vr in _FLOATS:
            return [float(part) for part in value.split("\\")]
    except ValueError:
        raise KeyMistake(f"{value!r} is no number") from None
    if vr in _BINARY:
        raise KeyMistake(f"values of {vr} can't be matched")
    return value.split("\\") if "\\" in value else value


def _ascii(identifier: Dataset) -> bool:
    return all(str(element.value).isascii() for element in identifier.iterall() if element.VR != "SQ")
