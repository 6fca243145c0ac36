"""Which addresses count as one."""

from __future__ import annotations

import pytest

from dimse_mesh.runtime.origin import origin_of


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::7", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
    ],
)
def test_a_host_has_one_ipv4_address_and_any_of_an_ipv6_network(host: str, origin: str) -> None:
    assert origin_of(host) == origin
