"""The version of the protocol: one octet of every envelope and every frame (docs/wire.md says what may change)."""

from __future__ import annotations

from typing import NamedTuple


class ProtocolVersion(NamedTuple):
    """Major and minor, 0 to 15 each. Instances of one major version understand each other."""

    major: int
    minor: int

    @property
    def octet(self) -> int:
        """The version as it stands in messages: major in the upper four bits, minor in the lower four."""
        return self.major << 4 | self.minor

    @classmethod
    def of(cls, octet: int) -> ProtocolVersion:
        """Return the version that an octet stands for."""
        return cls(octet >> 4, octet & 0x0F)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


VERSION = ProtocolVersion(1, 0)
"""What this code speaks."""
