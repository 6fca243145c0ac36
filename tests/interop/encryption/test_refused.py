"""Zones that can't encrypt what they must: the client is rejected at once, the log says why, nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from dimse_mesh.encryption.keys import write_key
from tests.support import dcmtk
from tests.support.encryption import encryption_of
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.ports import reserve_port
from tests.support.process import wait_until

ZONES = ("hospital", "older", "mistaken", "forgetful")
SMALL = {"store": 1, "query_retrieve": 0, "n_service": 0}


@dataclass(frozen=True, slots=True)
class Unequal:
    """A hospital that has keys, and zones that don't fit it."""

    mesh: Mesh
    target: int

    def rejected(self, zone: str, called: str) -> bool:
        """Ask for an association at a zone's listener; tell whether it was rejected for good."""
        result = dcmtk.echoscu(self.mesh.listeners[zone], called=called)
        if result.code == 0:
            return False
        assert "Rejected Permanent" in result.output, result.output
        return True

    def wait_for_log(self, words: str) -> None:
        """Wait until the mesh has logged these words."""
        wait_until(lambda: words in self.mesh.log.read_text(), f"the log says {words!r}")


@pytest.fixture(scope="module")
def unequal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unequal]:
    """Start the zones, each with an AE of its own name: all of them the same target.

    older has no section `encryption`, as a former version; mistaken has another key than the hospital was told;
    forgetful was not told the hospital's.
    """
    directory = tmp_path_factory.mktemp("unequal")
    sections: dict[str, dict[str, Any]] = encryption_of(directory, *ZONES)
    sections["hospital"]["zones"]["mistaken"] = write_key(directory / "other" / "1.key").public.text
    sections["forgetful"]["zones"] = {}
    del sections["older"]
    port = reserve_port()
    routes = [{"called": "SECRET", "to": {"ae": "STRANGER"}, "encryption": "required"}]
    configs = [
        zone_config(
            zone,
            listener=reserve_port(),
            remote_aes=[Ae(zone.upper(), port, zone)],
            routes=routes if zone == "hospital" else (),
            more={"instances": SMALL, **({"encryption": sections[zone]} if zone in sections else {})},
        )
        for zone in ZONES
    ]
    configs.append(
        zone_config("stranger", remote_aes=[Ae("STRANGER", port, "stranger")], more={"instances": SMALL})
    )
    target, _ = dcmtk.storescp(directory / "received", ae_title="ANY", port=port)
    with target, Mesh.start(directory / "mesh", configs) as mesh:
        yield Unequal(mesh, port)


@pytest.mark.parametrize(
    ("called", "words"),
    [
        ("OLDER", "zone older has answered without encryption"),
        ("MISTAKEN", "encryption-key-not-ours"),
        ("FORGETFUL", "encryption-key-unknown"),
    ],
)
def test_the_client_is_rejected_and_the_log_says_why(unequal: Unequal, called: str, words: str) -> None:
    assert unequal.rejected("hospital", called)
    unequal.wait_for_log(words)


def test_a_plain_opening_from_a_zone_that_has_a_key_is_refused(unequal: Unequal) -> None:
    """A downgrade: whoever strips the offer of an opening gets nothing."""
    assert unequal.rejected("older", "HOSPITAL")
    unequal.wait_for_log("encryption-required")


def test_a_zone_without_a_key_is_reached_in_the_clear_unless_the_route_forbids_it(unequal: Unequal) -> None:
    assert not unequal.rejected("hospital", "STRANGER")
    assert unequal.rejected("hospital", "SECRET")
    unequal.wait_for_log("zone stranger has answered without encryption")
