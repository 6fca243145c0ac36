"""What two zones report of what happens in them, in their trails and at a real rsyslog."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from dimse_mesh.app.audit_verify import verify_paths
from dimse_mesh.runtime.auditing import recorder_of
from dimse_mesh.runtime.settings_audit import AuditSettings
from tests.interop.audit.conftest import Site
from tests.support import dcmtk
from tests.support.audit import Told, messages_in
from tests.support.exposition import exposition
from tests.support.files import enhanced_ct, write_file
from tests.support.mesh import COMMAND, Ae, two_zones
from tests.support.ports import reserve_port
from tests.support.process import wait_until


def told_in(directory: Path) -> list[Told]:
    return [Told(text) for text in messages_in(directory)]


def dimse_mesh(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_a_day_in_two_zones(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.rsyslog.start()
    trails = {zone: tmp_path / f"trail-{zone}" for zone in ("hospital", "cloud")}
    http = reserve_port()
    more = {
        zone: {
            "audit": {
                "directory": str(trail),
                "site": "ST-MARY",
                "repository": site.settings(settled_after=1.0),
            }
        }
        for zone, trail in trails.items()
    }
    more["hospital"] |= {
        "association": {"calling_ae_titles": ["MODALITY", "OTHER"]},
        "observability": {"http": {"port": http}},
    }
    target = Ae("PACS", reserve_port(), "cloud")
    files = [write_file(tmp_path / f"{number}.dcm", enhanced_ct(number, 4000)) for number in (1, 2)]
    child, _ = dcmtk.storescp(tmp_path / "received", port=target.port, ae_title="PACS", more=["+xa"])
    with child, two_zones(tmp_path, target=target, more=more) as mesh:
        port = mesh.listeners["hospital"]
        assert dcmtk.echoscu(port, called="PACS", calling="MODALITY").code == 0
        assert dcmtk.storescu(port, *files, called="PACS", calling="MODALITY").code == 0
        assert dcmtk.echoscu(port, called="PACS", calling="STRANGER").code != 0
        assert dcmtk.echoscu(port, called="NOWHERE", calling="OTHER").code != 0
        config = tmp_path / "hospital.yaml"
        found = dimse_mesh("find", "PACS", "--config", str(config), "-k", "PatientName=CANARY^PATIENT")
        assert found.returncode != 0  # storescp answers no C-FIND
        text = exposition(http)
        named = set(re.findall(r"^\| `(dimse_mesh_\w+)`", Path("docs/audit.md").read_text(), re.MULTILINE))
        assert named - set(re.findall(r"^(dimse_mesh_\w+)", text, re.MULTILINE)) <= {
            "dimse_mesh_audit_connected"
        }
        assert set(re.findall(r"^(dimse_mesh_audit_\w+)", text, re.MULTILINE)) <= named
        assert 'dimse_mesh_audit_records_lost_total{code="overflow"} 0.0' in text
    hospital, cloud = told_in(trails["hospital"]), told_in(trails["cloud"])

    events = Counter(told.event for told in hospital)
    assert events["Application Activity/Application Start"] == 5
    assert events["Application Activity/Application Stop"] == 5
    assert {"hospital.association", "hospital.scu"} <= {told.source.partition("@")[0] for told in hospital}

    (refused,) = [told for told in hospital if told.event == "Security Alert/Node Authentication"]
    assert refused.users[0] == "STRANGER"
    assert "association.calling_ae_titles" in refused.why
    assert refused.outcome == "4"

    logins = [told for told in hospital if told.event == "User Authentication/Login"]
    assert [(told.users[0], told.outcome) for told in logins] == [
        ("MODALITY", "0"),
        ("MODALITY", "0"),
        ("OTHER", "4"),
    ]
    logouts = [told for told in hospital if told.event == "User Authentication/Logout"]
    assert [told.why for told in logouts] == ["released", "released"]
    assert logouts[0].details["C-ECHO success"] == "1"
    assert logouts[1].details["C-STORE success"] == str(len(files))
    assert int(logouts[1].details["bytes received"]) > sum(path.stat().st_size for path in files) // 2
    (transferred,) = [told for told in hospital if told.event == "DICOM Instances Transferred"]
    assert sum(transferred.instances.values()) == len(files)

    targets = [told for told in cloud if told.event == "User Authentication/Login"]
    assert ["MODALITY", "PACS"] in [told.users for told in targets]

    (action,) = [told for told in hospital if told.why == "find"]
    assert action.event == "Security Alert/Use of Restricted Function"
    assert not any(b"CANARY" in text for text in messages_in(trails["hospital"]))

    everything = {*messages_in(trails["hospital"]), *messages_in(trails["cloud"])}
    # What a service couldn't forward in its last seconds is left to the next one.
    rest = [
        recorder_of(AuditSettings.model_validate(more[zone]["audit"]), zone, "association") for zone in trails
    ]
    for recorder in rest:
        recorder.start()
    wait_until(lambda: set(site.rsyslog.received()) == everything, "all of it is at the repository")
    for recorder in rest:
        recorder.stop()

    assert verify_paths(list(trails.values()), None) == 0
    assert f"records 1 to {len(hospital)}" in capsys.readouterr().out
    (path,) = trails["hospital"].glob("*.audit")
    path.write_bytes(path.read_bytes().replace(b"STRANGER", b"FRIEND00"))
    assert verify_paths([path], None) == 1
    assert "is not the one that was written here" in capsys.readouterr().err
