"""How a data set is encoded: the transfer syntaxes that decide it (PS3.5 Annex A), and long elements (PS3.5 §7.1.2).

All other transfer syntaxes encode a data set as `EXPLICIT_LE` does, and differ in its pixel data alone.
"""

from __future__ import annotations

from typing import Final

IMPLICIT_LE: Final = "1.2.840.10008.1.2"
EXPLICIT_LE: Final = "1.2.840.10008.1.2.1"
EXPLICIT_BE: Final = "1.2.840.10008.1.2.2"
DEFLATED_EXPLICIT_LE: Final = "1.2.840.10008.1.2.1.99"
DEFLATED: Final = frozenset((DEFLATED_EXPLICIT_LE, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"))
"""Those whose whole data set is deflated (PS3.5 §A.5, §A.7, §A.12).

Deflated Image Frame Compression (PS3.5 §A.4.13) is none of them: it deflates each frame of the pixel data.
"""
LONG_VRS: Final = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
"""Value representations with 32 bits of value length in explicit VR; all others have 16."""
