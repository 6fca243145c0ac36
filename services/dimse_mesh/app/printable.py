"""Text from peers and file names, made safe for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return `text` with every character that could steer a terminal written as an escape sequence."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )
