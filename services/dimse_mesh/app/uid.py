"""What may be taken for a UID (PS3.5 §9.1)."""

from __future__ import annotations

import re

from dimse_mesh.upper_layer import LONGEST_UID

_UID = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)


def is_uid(text: str) -> bool:
    """Tell whether `text` consists of what a UID may consist of (PS3.5 §9.1), so that it is safe as a file name.

    Components with leading zeros, which are wrong but out there, pass.
    """
    return len(text) <= LONGEST_UID and _UID.fullmatch(text) is not None
