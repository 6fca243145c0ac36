"""Answers to queries as text and as DICOM JSON (PS3.18 Annex F): all that can be shown of each, and what can't.

Nothing here raises for what a peer has sent. A value that is none of its value representation is shown as what it is.
"""

from __future__ import annotations

import base64
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

from pydicom.charset import convert_encodings, decode_bytes, default_encoding

from dimse_mesh.app.identifier import Path
from dimse_mesh.app.printable import printable
from dimse_mesh.app.raw_data_set import MAX_PROBLEMS, RawDataSet, RawElement, name_of, read_raw

LONGEST_CELL = 1000
"""Characters of a value in a table."""
CHARACTER_SET = 0x00080005

_NUMBERS: Final = {
    vr: Struct(layout)
    for vr, layout in {
        "US": "<H",
        "SS": "<h",
        "UL": "<I",
        "SL": "<i",
        "UV": "<Q",
        "SV": "<q",
        "FL": "<f",
        "FD": "<d",
        "AT": "<HH",
    }.items()
}
_BINARY: Final = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "UN"])
_ONE_VALUE: Final = frozenset(["LT", "ST", "UR", "UT"])
_OWN_CHARACTERS: Final = frozenset(["LO", "LT", "PN", "SH", "ST", "UC", "UT"])
"""Those that Specific Character Set applies to (PS3.5 §6.1.2.3)."""
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,12}", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_TEXT_NUMBERS: Final = {"IS": _INTEGER, "DS": _DECIMAL}
_RESETS: Final = set(b"\r\n\t\f\\^=")
"""Characters after which the first character set holds again (PS3.5 §6.1.2.5.3)."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An element as it can be shown: its values as text, and in JSON."""

    vr: str
    texts: list[str]
    json: dict[str, Any]
    items: tuple[dict[int, Shown], ...] = ()


class QueryAnswer:
    """One answer.

    Attributes:
        problems: what can't be shown as it should be, one line each.
    """

    def __init__(self, raw: RawDataSet) -> None:
        self.problems = list(raw.problems)
        self._raw = raw
        with warnings.catch_warnings(record=True) as complaints:
            warnings.simplefilter("always")
            self._shown = self._data_set(raw, (default_encoding,), "")
        if complaints:
            self.add_problem("it has text that its character set doesn't hold")

    def text(self, path: Path) -> str:
        """Return an attribute's values as a line that a terminal can be trusted with.

        Empty if it isn't there; `?` if it may have been sent, and can't be read.
        """
        whole = "\\".join(self.texts(path))
        if len(whole) > LONGEST_CELL:
            return f"{printable(whole[:LONGEST_CELL])}... ({len(whole)} characters)"
        return printable(whole)

    def texts(self, path: Path) -> list[str]:
        """Return an attribute's values as text, unchanged."""
        raw, shown = self._raw, self._shown
        for tag in path[:-1]:
            sequence = raw.elements.get(tag)
            if sequence is None or not sequence.items:
                return ["?"] if raw.broken else []
            raw, shown = sequence.items[0], shown[tag].items[0]
        if path[-1] not in shown:
            return ["?"] if raw.broken else []
        return shown[path[-1]].texts

    def to_json(self) -> dict[str, Any]:
        """Return it in the DICOM JSON model; bytes that are no value of their representation as UN."""
        return _json_of(self._shown)

    def add_problem(self, what: str) -> None:
        """Note a problem."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(what)

    def _data_set(self, raw: RawDataSet, encodings: Sequence[str], where: str) -> dict[int, Shown]:
        if CHARACTER_SET in raw.elements:
            names = _plain(raw.elements[CHARACTER_SET].value).split("\\")
            try:
                encodings = convert_encodings([name.strip() for name in names])
            except (LookupError, ValueError):
                self.add_problem(f"{where}SpecificCharacterSet: it can't be understood")
        return {
            tag: self._element(element, encodings, f"{where}{name_of(tag)}")
            for tag, element in raw.elements.items()
        }

    def _element(self, element: RawElement, encodings: Sequence[str], where: str) -> Shown:
        vr, value = element.vr, element.value
        if element.items is not None:
            items = tuple(self._data_set(item, encodings, f"{where}.") for item in element.items)
            return Shown(
                vr, [f"{len(items)} items"], _with_values(vr, [_json_of(item) for item in items]), items
            )
        if vr in _NUMBERS and len(value) % _NUMBERS[vr].size:
            self.add_problem(f"{where}: {len(value)} bytes are no {vr}")
            vr = "UN"
        if vr in _BINARY:
            if not value:
                return Shown(vr, [], {"vr": vr})
            inline = str(base64.b64encode(value), "ascii")
            return Shown(vr, [f"{len(value)} bytes"], {"vr": vr, "InlineBinary": inline})
        if vr in _NUMBERS:
            numbers = [_json_number(vr, parts) for parts in _NUMBERS[vr].iter_unpack(value)]
            return Shown(vr, [str(number) for number in numbers], _with_values(vr, numbers))
        texts = _split(vr, self._decoded(vr, value, encodings, where))
        if vr in _TEXT_NUMBERS and not all(_TEXT_NUMBERS[vr].fullmatch(text) for text in texts if text):
            self.add_problem(f"{where}: a value is no {vr}")
        return Shown(vr, texts, _with_values(vr, [_json_text(vr, text) for text in texts]))

    def _decoded(self, vr: str, value: bytes, encodings: Sequence[str], where: str) -> str:
        if vr in _OWN_CHARACTERS:
            try:
                return decode_bytes(value, encodings, _RESETS)
            except (LookupError, UnicodeError):
                self.add_problem(f"{where}: its character set can't be used")
        return _plain(value)


def read_answer(data: bytes | None, transfer_syntax: str, *, whole: bool = True) -> QueryAnswer:
    """Read the identifier of an answer.

    Args:
        data: None: it has no identifier.
        transfer_syntax: implicit or explicit VR little endian.
        whole: False: the end of `data` was dropped.
    """
    if data is None:
        return QueryAnswer(RawDataSet(broken=True, problems=("it came without an identifier",)))
    answer = QueryAnswer(read_raw(data, transfer_syntax))
    if not whole:
        answer.add_problem("it is too long; its end was dropped")
    return answer


def _json_of(shown: Mapping[int, Shown]) -> dict[str, Any]:
    return {f"{tag:08X}": shown[tag].json for tag in sorted(shown)}


def _with_values(vr: str, values: list[Any]) -> dict[str, Any]:
    return {"vr": vr, "Value": values} if values else {"vr": vr}


def _json_number(vr: str, parts: tuple[Any, ...]) -> Any:
    if vr == "AT":
        return f"{parts[0]:04X}{parts[1]:04X}"
    (number,) = parts
    if vr in ("FL", "FD") and not math.isfinite(number):  # JSON has no numbers for these
        return "NaN" if math.isnan(number) else "inf" if number > 0 else "-inf"
    return number


def _json_text(vr: str, text: str) -> Any:
    """Return a value of text; a number that is none stays text (PS3.18 table F.2.3-1)."""
    if not text:
        return None
    if vr == "PN":
        groups = zip(("Alphabetic", "Ideographic", "Phonetic"), text.split("=", maxsplit=2), strict=False)
        return {name: group for name, group in groups if group}
    if vr == "IS" and _INTEGER.fullmatch(text):
        return int(text)
    if vr == "DS" and _DECIMAL.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def _plain(value: bytes) -> str:
    return str(value, "latin-1").rstrip("\0 ")


def _split(vr: str, text: str) -> list[str]:
    text = text.rstrip("\0 ")
    if not text:
        return []
    if vr in _ONE_VALUE:
        return [text]
    strip = str.strip if vr in ("AE", "CS", "DS", "IS") else str.rstrip
    return [strip(part, "\0 ") for part in text.split("\\")]
