"""Which extra brings a library that a command needs and that is not installed."""

from __future__ import annotations

from typing import Final

EXTRA_OF: Final = {
    "cryptography": "encryption",
    "pydicom": "cli",
    "pynetdicom": "cli",
    "rich": "cli",
}
"""Top-level module -> extra of dimse-mesh (`project.optional-dependencies`)."""


def advice(missing: ModuleNotFoundError) -> str | None:
    """Return the line that says what to install, or None when no extra brings the module."""
    module = (missing.name or "").partition(".")[0]
    extra = EXTRA_OF.get(module)
    if extra is None:
        return None
    return f"{module} is not installed: pip install 'dimse-mesh[{extra}]'"
