"""What nats-server says of a missing permission, in one line for people."""

from __future__ import annotations

from dimse_mesh.mesh.violation import Violation
from tests.support.bus import address


def test_a_refused_publish_names_subject_role_and_zone() -> None:
    violation = Violation.of('Permissions Violation for Publish to "D.i.a.scu.x.link.b.scu.y"')
    assert violation == Violation(publishing=True, subject="D.i.a.scu.x.link.b.scu.y")
    line = violation.describe(address("one", zone="hospital"))
    assert "role association of zone hospital publish to D.i.a.scu.x.link.b.scu.y:" in line
    assert "\n" not in line


def test_a_refused_subscription_names_its_queue_group() -> None:
    violation = Violation.of(
        'Permissions Violation for Subscription to "D.ae.X.open.*.*.*" using queue "scu"'
    )
    assert violation == Violation(publishing=False, subject="D.ae.X.open.*.*.*", queue="scu")
    assert "subscribe to D.ae.X.open.*.*.* in queue group scu" in violation.describe(address())


def test_subjects_that_differ_in_an_instance_alone_need_the_same_permission() -> None:
    said = 'permissions violation for publish to "D.i.a.scu.{}.link.b.association.0123456789abcdef"'
    one, two = Violation.of(said.format("0123456789abcdef")), Violation.of(said.format("fedcba9876543210"))
    assert one is not None
    assert two is not None
    assert one.kind == two.kind


def test_other_errors_are_none() -> None:
    assert Violation.of("Maximum Subscriptions Exceeded") is None
