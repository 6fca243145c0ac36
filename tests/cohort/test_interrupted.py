"""Ctrl-C in the middle of a pull: the command ends at once, and the next one goes on."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.cohort.site import FOLDER, PACS, cohort_site, study_of
from tests.support.process import wait_until


def test_ctrl_c(tmp_path: Path) -> None:
    with cohort_site(tmp_path) as site:
        contents = [
            content for study in range(1, 5) for content in study_of(study, 10, date="20200101", size=200_000)
        ]
        site.upload(contents)
        query = {"pacs": [{"ae_title": PACS}], "find": [{"StudyDate": "20200101", "ModalitiesInStudy": "CT"}]}
        assert "4 studies" in site.find(query)
        pull = site.begin_pull(1)
        wait_until(lambda: site.completed > 0 or bool(site.stored()), "something has come", timeout=60)
        pull.send_signal(signal.SIGINT)
        code = pull.wait(timeout=60)
        assert code == 130 or site.completed == 4, pull.output
        assert "Traceback" not in pull.output
        assert "4 studies: " in pull.output
        site.cohort("pull", site.listed, "--to", FOLDER)
        assert len(site.stored()) == len(contents)
