"""CSV files as people and spreadsheets write them: UTF-8, commas, or semicolons where a comma is the decimal point."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from dimse_mesh.runtime.settings_errors import ConfigurationError


def read_rows(path: Path, needed: Sequence[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """Return what stands below the row of names: each row's last line, and its cells by name, but for empty ones.

    Args:
        needed: names that have to be there.

    Raises:
        ConfigurationError: it can't be read, is no CSV in UTF-8, or lacks a column.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        header = text.partition("\n")[0]
        separator = ";" if header.count(";") > header.count(",") else ","
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        missing = [name for name in needed if name not in (reader.fieldnames or ())]
        if missing:
            raise ConfigurationError([f"{path}: there is no column {', '.join(missing)}"])
        return list(_cells(reader))
    except OSError as error:
        raise ConfigurationError([f"{path}: can't be read: {error.strerror}"]) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError([f"{path}: no CSV in UTF-8"]) from error


def _cells(reader: csv.DictReader[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for row in reader:
        # What stands behind the last named column has no name; what isn't there has no value.
        cells = {name: value.strip() for name, value in row.items() if name and value}
        yield reader.line_num, {name: value for name, value in cells.items() if value}
