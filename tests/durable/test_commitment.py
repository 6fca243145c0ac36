"""Storage commitment on a durable route: said when the destination has the instances, whoever dies meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.uid import generate_uid
from pynetdicom import build_role
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import time
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
)

from tests.durable.operator import dead_letters, queue
from tests.durable.requestor import MODALITY, Report, Reports, ask, asking, listening, stored
from tests.durable.site import ARCHIVE, Inbox, Site, site
from tests.durable.test_observed import families
from tests.support.files import synthetic
from tests.support.ports import reserve_port, reserve_ports
from tests.support.pynet import entity, scu, was_rejected
from tests.support.wire import CT_STORAGE

HOOKED = "HOOKED"
"""Called AE title of a route with hooks."""


@dataclass(slots=True)
class Clinic:
    """A site whose modality can be called back."""

    where: Site
    port: int
    metrics: int
    """Port of the front-end's metrics."""


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    port, metrics = reserve_port(), reserve_ports(5)
    directory = tmp_path_factory.mktemp("commitment")
    key = directory / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    hooks = [{"deidentify": {"key_file": str(key)}}]
    with site(
        directory,
        more_routes=[
            {"called": HOOKED, "to": {"ae": ARCHIVE}, "delivery": "durable", "hooks": hooks},
        ],
        hospital={
            "scu": {"remote_aes": [{"ae_title": MODALITY, "host": "127.0.0.1", "port": port}]},
            "delivery": {"retry": {"first": 0.2, "longest": 1.0}},
            "observability": {"http": {"host": "127.0.0.1", "port": metrics}},
        },
    ) as where:
        yield Clinic(where, port, metrics)


def test_the_report_comes_on_the_association_that_asked(clinic: Clinic) -> None:
    reports, inbox = Reports(), Inbox()
    with clinic.where.destination(inbox):
        wanted = stored(clinic.where, [synthetic(number, 50_000) for number in range(3)])
        with asking(clinic.where, reports) as assoc:
            status, transaction = ask(assoc, wanted)
            assert status.Status == 0
            report = reports.wait_for()
    assert report == Report(1, transaction, [uid for _, uid in wanted], {}, "")
    assert set(inbox.instances) >= {uid for _, uid in wanted}


def test_nothing_is_said_before_the_destination_has_it_whoever_is_killed(clinic: Clinic) -> None:
    """Front-end, delivery service and nats-server die; then the destination comes, and the modality is called."""
    where, reports, inbox = clinic.where, Reports(), Inbox()
    wanted = stored(where, [synthetic(10 + number, 50_000) for number in range(3)])
    with asking(where, reports) as assoc:
        status, transaction = ask(assoc, wanted)
        assert status.Status == 0
    for victim in ("hospital/association", "cloud/delivery", "nats-server"):
        where.kill(victim)
    assert reports.got == []
    told = queue(where, "commitments")
    assert MODALITY in told
    with listening(reports, clinic.port), where.destination(inbox):
        report = reports.wait_for(timeout=60)
        assert {uid for _, uid in wanted} <= set(inbox.instances)
    assert report == Report(1, transaction, [uid for _, uid in wanted], {}, ARCHIVE)
    where.wait_until(lambda: "nothing waits" in queue(where, "commitments"), "the request is done with")


def test_what_was_never_there_or_is_a_dead_letter_fails_with_its_reason(clinic: Clinic) -> None:
    where, reports, inbox = clinic.where, Reports(), Inbox()
    good, poison = synthetic(20, 2_000), synthetic(21, 2_000)
    wanted = stored(where, [good])
    with where.destination(inbox):
        inbox.wait_for(1)
    inbox.status = 0xC000
    wanted += stored(where, [poison])
    with where.destination(inbox):
        where.wait_until(lambda: len(dead_letters(where)) == 1, "it is a dead letter")
        never, other_class = generate_uid(), "1.2.840.10008.5.1.4.1.1.4"
        with asking(where, reports) as assoc:
            status, _ = ask(assoc, [*wanted, (CT_STORAGE, never), (other_class, good.sop_instance)])
            assert status.Status == 0
            report = reports.wait_for()
    assert (report.event_type, report.committed) == (2, [good.sop_instance])
    assert report.failed == {poison.sop_instance: 0x0110, never: 0x0112, good.sop_instance: 0x0119}
    queue(where, "drop", ARCHIVE, "--yes")


def test_a_report_that_nobody_takes_is_tried_again(clinic: Clinic) -> None:
    where, reports, inbox = clinic.where, Reports(status=0x0110), Inbox()
    wanted = stored(where, [synthetic(30, 2_000)])
    with asking(where, Reports()) as assoc:
        ask(assoc, wanted)
    with where.destination(inbox):
        where.wait_until(
            lambda: "calling it back fails" in queue(where, "commitments"), "the trouble is told"
        )
        with listening(reports, clinic.port):
            reports.wait_for(2)
            reports.status = 0
            where.wait_until(
                lambda: "nothing waits" in queue(where, "commitments"), "the request is done with"
            )
    assert reports.got[-1].event_type == 1


def test_what_can_never_be_reported_is_refused_at_once(clinic: Clinic) -> None:
    reports = Reports()
    with asking(clinic.where, reports, calling="NOBODY") as assoc:
        status, _ = ask(assoc, [(CT_STORAGE, generate_uid())])
        assert (status.Status, status.ErrorComment) == (0x0110, "nobody can call this AE title back")
        status, _ = ask(assoc, [(CT_STORAGE, generate_uid())], action_type=2)
        assert status.Status == 0x0123


def test_behind_hooks_instances_go_by_the_names_that_their_client_knows(clinic: Clinic) -> None:
    reports, inbox = Reports(), Inbox()
    with clinic.where.destination(inbox):
        wanted = stored(clinic.where, [synthetic(50, 50_000)], called=HOOKED)
        with asking(clinic.where, reports, called=HOOKED) as assoc:
            status, transaction = ask(assoc, wanted)
            assert status.Status == 0
            report = reports.wait_for()
    assert report == Report(1, transaction, [uid for _, uid in wanted], {}, "")
    assert inbox.instances
    assert wanted[0][1] not in inbox.instances


def test_beside_other_services_it_is_the_destination_that_is_asked(clinic: Clinic) -> None:
    ae = entity(MODALITY)
    ae.add_requested_context(StorageCommitmentPushModel)
    ae.add_requested_context(ModalityPerformedProcedureStep)
    with scu(ae, clinic.where.entry, called=ARCHIVE) as assoc:
        assert was_rejected(assoc)  # by the mesh: the archive isn't there


def test_metrics_are_those_of_the_documents(clinic: Clinic) -> None:
    seen = {
        f"| `{name}` | {family.type} | "
        f"{', '.join(sorted({label for sample in family.samples for label in sample.labels}))} | "
        f"{family.documentation} |".replace("|  |", "| |")
        for name, family in families(clinic.metrics, "dimse_mesh_commitments").items()
    }
    page = Path("docs/delivery.md").read_text().splitlines()
    assert {line for line in page if line.startswith("| `dimse_mesh_commitments")} == seen


def test_a_target_that_calls_back_as_the_provider_is_led_to_its_destination(clinic: Clinic) -> None:
    """It says so by its role, and isn't taken for a modality that asks."""
    ae = entity(ARCHIVE)
    ae.add_requested_context(StorageCommitmentPushModel)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    with scu(ae, clinic.where.entry, called=MODALITY, ext_neg=[role]) as assoc:
        assert was_rejected(assoc)  # the route leads to the archive, which isn't there
