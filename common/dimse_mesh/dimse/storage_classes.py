"""Which SOP classes are stored by C-STORE (PS3.4 §B.5)."""

from __future__ import annotations

from dimse_mesh.upper_layer import significant_uid

_STANDARD = "1.2.840.10008."
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_NOT_STORAGE = frozenset(f"1.2.840.10008.5.1.4.1.1.201.{number}" for number in range(2, 7))
"""Services of the storage inventory (PS3.4 Annex BB and after), which have their UIDs among the storage classes."""
_STORAGE_ELSEWHERE = (
    "1.2.840.10008.5.1.4.34.7",  # RT Beams Delivery Instruction
    "1.2.840.10008.5.1.4.34.10",  # RT Brachy Application Setup Delivery Instruction
    "1.2.840.10008.5.1.4.38.1",  # Hanging Protocol
    "1.2.840.10008.5.1.4.39.1",  # Color Palette
    "1.2.840.10008.5.1.4.43.1",  # Generic Implant Template
    "1.2.840.10008.5.1.4.44.1",  # Implant Assembly Template
    "1.2.840.10008.5.1.4.45.1",  # Implant Template Group
)


def is_storage(sop_class: str) -> bool:
    """Tell whether a SOP class is stored by C-STORE (PS3.4 §B.5). A private one counts as such."""
    uid = significant_uid(sop_class)
    if uid.startswith(_STORAGE):
        return uid not in _NOT_STORAGE
    return uid in _STORAGE_ELSEWHERE or not uid.startswith(_STANDARD)
