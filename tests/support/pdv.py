"""Presentation data values, made apart from the code that reads them."""

from __future__ import annotations


def pdv(context_id: int, flags: int, fragment: bytes) -> bytes:
    """Return a fragment as it stands in the body of a P-DATA-TF (PS3.8 §9.3.5.1).

    Args:
        flags: the message control header: 1, a command; 2, the last fragment.
    """
    return (len(fragment) + 2).to_bytes(4, "big") + bytes((context_id, flags)) + fragment
