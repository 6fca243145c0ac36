"""Which transfer syntaxes an object may be changed into without loss (PS3.5 §10). Pure."""

from __future__ import annotations

from typing import Final

from dimse_mesh.dimse.encoding import DEFLATED_EXPLICIT_LE, EXPLICIT_LE, IMPLICIT_LE

LOSSLESS: Final = frozenset(
    (
        "1.2.840.10008.1.2.5",  # RLE
        "1.2.840.10008.1.2.4.57",  # JPEG lossless
        "1.2.840.10008.1.2.4.70",  # JPEG lossless, first-order prediction
        "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
        "1.2.840.10008.1.2.4.90",  # JPEG 2000, lossless only
        "1.2.840.10008.1.2.4.201",  # HTJ2K, lossless only
        "1.2.840.10008.1.2.4.202",  # HTJ2K with RPCL options, lossless only
    )
)
"""Compressed without loss by their definition; what else is compressed stays as it is."""
_TARGETS: Final = (EXPLICIT_LE, IMPLICIT_LE)


def alternatives(transfer_syntax: str) -> tuple[str, ...]:
    """Return the transfer syntaxes that an object may be changed into, the best first; none: it stays as it is."""
    if transfer_syntax not in {*LOSSLESS, *_TARGETS, DEFLATED_EXPLICIT_LE}:
        return ()
    return tuple(syntax for syntax in _TARGETS if syntax != transfer_syntax)
