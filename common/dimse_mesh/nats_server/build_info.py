"""What a Go program says of itself: the module that it was built from (`go version -m`, Go's debug/buildinfo).

0   magic
14  size of a pointer; bit 1 of byte 15: strings follow in place (Go 1.18 and later)
32  length as a varint, version of Go
    length as a varint, lines of text between two marks of 16 bytes:
        path<TAB>package, mod<TAB>module<TAB>version<TAB>sum, dep ..., build ...
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final, NamedTuple

NATS_SERVER: Final = "github.com/nats-io/nats-server"
_MAGIC: Final = b"\xff Go buildinf:"
_STRINGS: Final = 32
_IN_PLACE: Final = 2
_MARK: Final = 16
_LONGEST: Final = 1 << 20


class BuildInfo(NamedTuple):
    """Build information.

    Attributes:
        path: of the main package.
        version: of its module; `(devel)`: whoever built it has not said.
        go: version of Go.
    """

    path: str
    version: str
    go: str

    @property
    def is_nats_server(self) -> bool:
        """Whether it was built from nats-server's module, of any major version."""
        return self.path == NATS_SERVER or self.path.startswith(f"{NATS_SERVER}/")

    def __str__(self) -> str:
        return f"{self.path} {self.version}, {self.go}"


def build_info(binary: Path) -> BuildInfo | None:
    """Read a program's build information; None: it has none, or is no program of Go.

    Raises:
        OSError: it can't be read.
    """
    with binary.open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
                at = image.find(_MAGIC)
                return None if at < 0 else parse_build_info(image[at : at + _LONGEST])
        except ValueError:  # an empty file can't be mapped
            return None


def parse_build_info(data: bytes) -> BuildInfo | None:
    """Read what begins with the magic; None: it is cut short, or of a Go before 1.18."""
    if len(data) < _STRINGS or not data.startswith(_MAGIC) or not data[15] & _IN_PLACE:
        return None
    go, at = _text(data, _STRINGS)
    module, _ = _text(data, at)
    fields = {line.split("\t")[0]: line.split("\t")[1:] for line in module[_MARK:-_MARK].split("\n")}
    path, named = fields.get("path", []), fields.get("mod", [])
    if not path:
        return None
    return BuildInfo(path[0], named[1] if len(named) > 1 else "(devel)", go)


def _text(data: bytes, at: int) -> tuple[str, int]:
    """Return the text at a place, and where it ends."""
    length = shift = 0
    while at < len(data) and shift < 35:
        byte = data[at]
        at, length, shift = at + 1, length | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            break
    return data[at : at + length].decode("latin-1"), at + length
