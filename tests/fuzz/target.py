"""What a fuzzer needs of a parser: how to call it with any bytes, and some bytes to begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True)
class FuzzTarget:
    """A parser.

    Attributes:
        name: of the target, and of its folder in `corpus`.
        run: calls the parser. The errors that the parser documents end in it; any other exception is a finding.
        seeds: well-formed inputs.
        reads: what the parser reads.
        largest: bytes of an input that it has to take within its share of time: little where only the owner of the
            machine writes what is read, and a slow library reads it.
    """

    name: str
    reads: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    largest: int = 64 * 1024

    def corpus(self) -> list[bytes]:
        """Return the inputs that are kept, in a stable order."""
        return [path.read_bytes() for path in sorted((CORPUS / self.name).glob("*")) if path.is_file()]
