"""DCMTK's echoscu and storescu through two zones to storescp: every file arrives, to the byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support import dcmtk
from tests.support.files import DicomFile, enhanced_ct, real_files, synthetic, take_apart, write_file
from tests.support.mesh import Ae
from tests.support.way import Way

PROPOSE = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.1.99": "-xd",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
    "1.2.840.10008.1.2.5": "-xr",
}
"""storescu's option to propose each transfer syntax."""


def stored(directory: Path) -> list[tuple[str, str, str, bytes]]:
    """Return what storescp wrote, as sortable tuples."""
    return sorted(
        (item.sop_class, item.sop_instance, item.transfer_syntax, item.data)
        for item in (take_apart(path) for path in directory.iterdir())
    )


def send(
    port: int, called: str, files: Sequence[Path], more: Sequence[str | int], env: Mapping[str, str] | None
) -> dcmtk.Result:
    result = dcmtk.storescu(port, *files, called=called, more=more, env=env)
    assert result.code == 0, result.output
    return result


def test_echoscu_gets_success_from_a_target_in_the_other_zone(way: Way, cloud_ae: Ae, received: Path) -> None:
    child, _ = dcmtk.storescp(received, port=cloud_ae.port)
    with child:
        result = dcmtk.echoscu(way.entry(cloud_ae), called=cloud_ae.title)
    assert result.code == 0, result.output
    assert "Received Echo Response (Success)" in result.output


@pytest.mark.parametrize("syntax", sorted(PROPOSE))
def test_real_files_arrive_as_if_sent_directly(
    way: Way, cloud_ae: Ae, received: Path, tmp_path: Path, syntax: str
) -> None:
    files = real_files()[syntax][:6]
    options = [PROPOSE[syntax], "-R", "-nh"]
    control, control_port = dcmtk.storescp(tmp_path / "control", more=["+xa", "-pm"])
    with control:
        expected = dcmtk.storescu(control_port, *files, called="ANY", more=options)
    child, _ = dcmtk.storescp(received, port=cloud_ae.port, more=["+xa", "-pm"])
    with child:
        result = dcmtk.storescu(way.entry(cloud_ae), *files, called=cloud_ae.title, more=options)
    assert result.code == expected.code, result.output
    assert stored(received) == stored(tmp_path / "control") != []


@pytest.mark.parametrize("env", [None, dcmtk.NO_DELAY], ids=["stock", "nodelay"])
@pytest.mark.parametrize("lengths", [(4096, 4096), (4096, 131072), (131072, 4096), (131072, 131072)])
def test_objects_of_every_size_arrive_at_every_pdu_length(
    way: Way,
    cloud_ae: Ae,
    tmp_path: Path,
    env: Mapping[str, str] | None,
    lengths: tuple[int, int],
) -> None:
    client_pdu, target_pdu = lengths
    received = tmp_path / "received"
    objects: list[DicomFile] = [synthetic(number, size) for number, size in enumerate((128, 8000, 524288))]
    objects.append(enhanced_ct(9, 6 << 20))
    files = [write_file(tmp_path / f"{number}.dcm", content) for number, content in enumerate(objects)]
    child, _ = dcmtk.storescp(received, port=cloud_ae.port, more=["-pdu", target_pdu], env=env)
    with child:
        send(way.entry(cloud_ae), cloud_ae.title, files, ["-R", "-pdu", client_pdu], env)
    expected = sorted(
        (item.sop_class, item.sop_instance, item.transfer_syntax, item.data) for item in objects
    )
    assert stored(received) == expected


def test_calling_and_called_titles_reach_the_target_unchanged(
    way: Way, cloud_ae: Ae, received: Path, tmp_path: Path
) -> None:
    file = write_file(tmp_path / "one.dcm", synthetic(1, 1000))
    child, _ = dcmtk.storescp(received, port=cloud_ae.port, level="-d")
    with child:
        result = dcmtk.storescu(way.entry(cloud_ae), file, called=cloud_ae.title, calling="MODALITY.1 X")
        assert result.code == 0, result.output
        child.wait_for_line(r"Calling Application Name:\s+MODALITY\.1 X$")
        child.wait_for_line(rf"Called Application Name:\s+{cloud_ae.title}$")


def test_refusal_of_storescp_reaches_storescu(way: Way, cloud_ae: Ae, received: Path, tmp_path: Path) -> None:
    file = write_file(tmp_path / "one.dcm", synthetic(1, 1000))
    child, port = dcmtk.storescp(received, port=cloud_ae.port, more=["--refuse"])
    with child:
        direct = dcmtk.storescu(port, file, called=cloud_ae.title)
        through = dcmtk.storescu(way.entry(cloud_ae), file, called=cloud_ae.title)
    reasons = [
        [line for line in result.output.splitlines() if "Result:" in line or "Reason:" in line]
        for result in (direct, through)
    ]
    assert reasons[0] == reasons[1] != []
    assert through.code == direct.code != 0
