"""Why something can't be sealed or opened.

EncryptionError     with a code
`- UnusableKey      a key file or a public key of the settings
"""

from __future__ import annotations


class EncryptionError(Exception):
    """What came was not sealed by whom it should be, or not for us, or it was changed on its way.

    Attributes:
        code: for logs, spans and counters.
    """

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(text or code)
        self.code = code


class UnusableKey(EncryptionError):
    """A key that can't be used; the text says which and what to do."""

    def __init__(self, text: str) -> None:
        super().__init__("encryption-key-unusable", text)
