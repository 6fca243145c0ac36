"""A distinguished name of a certificate as text, so that patterns can be compared with it (RFC 4514)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Name = Iterable[Iterable[tuple[str, str]]]
"""As `ssl` gives it: relative distinguished names, each of pairs of an attribute type's long name and its value."""

_SHORT: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
"""RFC 4514 §3; other types keep the name that OpenSSL gives them."""
_SPECIAL: Final = frozenset('\\,+"<>;=')


def name_text(name: Name) -> str:
    """Return `O=...,CN=...` in the certificate's order.

    What separates the parts is escaped where it stands in a value, so that nobody gets an organization into their
    certificate by calling themselves `ct1,O=Hospital`.
    """
    return ",".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for part in name for kind, value in part)


def _escaped(value: str) -> str:
    return "".join(f"\\{character}" if character in _SPECIAL else character for character in value)
