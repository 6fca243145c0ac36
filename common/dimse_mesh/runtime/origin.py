"""What counts as one address when connections and associations are counted."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Final

_ONE_HOST: Final = 64
"""Bits of an IPv6 address that a host is given: the others it chooses itself, and may choose anew each time."""


@lru_cache(maxsize=4096)
def origin_of(host: str) -> str:
    """Return the IPv4 address, mapped into IPv6 or not, or the IPv6 network of a host; what is neither, as it is."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, _ONE_HOST), strict=False))
