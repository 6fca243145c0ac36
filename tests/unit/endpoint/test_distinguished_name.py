"""A certificate's names as the text that patterns are compared with."""

from __future__ import annotations

from dimse_mesh.endpoint.distinguished_name import name_text


def test_a_name_has_short_types_in_the_certificates_order() -> None:
    name = (
        (("countryName", "DE"),),
        (("organizationName", "Hospital"), ("commonName", "ct1")),
        (("serialNumber", "7"),),
    )
    assert name_text(name) == "C=DE,O=Hospital,CN=ct1,serialNumber=7"


def test_separators_in_a_value_are_escaped() -> None:
    assert name_text(((("commonName", 'a,O=b+c"<d>;\\'),),)) == 'CN=a\\,O\\=b\\+c\\"\\<d\\>\\;\\\\'
