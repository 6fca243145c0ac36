"""The policy that a zone's file describes: its rules, AE titles, limits, zones, and what its routes allow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from dimse_mesh.dimse import CommandField, FailureReason
from dimse_mesh.policy.decision import PolicyRefusal
from dimse_mesh.policy.questions import (
    AdmissionQuestion,
    OpeningQuestion,
    OperationQuestion,
    PeerCertificate,
    Side,
    username,
)
from dimse_mesh.policy.rejections import (
    CALLED_NOT_RECOGNIZED,
    CALLING_NOT_RECOGNIZED,
    CONGESTION,
    LIMIT_EXCEEDED,
    VERSION_NOT_SUPPORTED,
)
from dimse_mesh.policy.spelling import NamedBy, NamedTitles, is_ae_title
from dimse_mesh.runtime.routing import DimseService, Route, index_of_route
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.runtime.settings_limits import AssociationLimits
from dimse_mesh.runtime.settings_policy import (
    AdmissionRule,
    AskedBy,
    CertificatePattern,
    Effect,
    OperationRule,
    PolicySettings,
)
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.upper_layer import AssociateRJ

_REMEMBERED = 8192
"""Questions about operations whose answers are remembered: the same question gets the same answer."""
_NAMES = frozenset(DimseService)
NOT_AUTHORIZED = PolicyRefusal("not_authorized", reason=FailureReason.NOT_AUTHORIZED)
UNRECOGNIZED = PolicyRefusal("unrecognized_operation", reason=FailureReason.UNRECOGNIZED_OPERATION)


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer of the policy, and the setting that decided it.

    Attributes:
        refusal: None: permitted.
        rule: as the configuration spells it, for example `policy.admission[2]`; empty: no rule speaks against it.
    """

    refusal: PolicyRefusal | None
    rule: str = ""


_NO_RULE = Verdict(None)


class ConfiguredPolicy:
    """The rules that one zone's settings hold.

    Args:
        routes: for what they allow.
        policy: the rules for admission and operations.
        calling_ae_titles: that may associate; None: all.
        max_associations: of one front-end.
        limits: of one front-end, by address and AE title.
        remote_aes: that this zone serves, for the zones and AE titles that may open them.
    """

    __slots__ = (
        "_calling_ae_titles",
        "_limits",
        "_max_associations",
        "_named_called",
        "_named_calling",
        "_operations",
        "_policy",
        "_remote_aes",
        "_routes",
    )

    def __init__(
        self,
        *,
        routes: Sequence[Route],
        policy: PolicySettings | None = None,
        calling_ae_titles: Collection[str] | None = None,
        max_associations: int = 1 << 30,
        limits: AssociationLimits | None = None,
        remote_aes: Sequence[RemoteAe] = (),
    ) -> None:
        self._routes = routes
        self._policy = policy or PolicySettings()
        self._calling_ae_titles = calling_ae_titles
        self._max_associations = max_associations
        self._limits = limits or AssociationLimits()
        self._remote_aes: Mapping[str, RemoteAe] = {remote.ae_title: remote for remote in remote_aes}
        self._operations: dict[OperationQuestion, Verdict] = {}
        """Answers by question."""
        rules: list[tuple[str, Route | AdmissionRule | OperationRule]] = [
            *((f"routes[{number}]", route) for number, route in enumerate(routes)),
            *((f"policy.admission[{number}]", rule) for number, rule in enumerate(self._policy.admission)),
            *((f"policy.operations[{number}]", rule) for number, rule in enumerate(self._policy.operations)),
        ]
        self._named_called = NamedTitles(NamedBy(rule.called, f"{where}.called") for where, rule in rules)
        self._named_calling = NamedTitles(NamedBy(rule.calling, f"{where}.calling") for where, rule in rules)

    @classmethod
    def of(cls, settings: ZoneSettings) -> ConfiguredPolicy:
        """Return the policy of a zone's file."""
        return cls(
            routes=settings.routes,
            policy=settings.policy,
            calling_ae_titles=settings.association.calling_ae_titles,
            max_associations=settings.association.max_associations,
            limits=settings.association.limits,
            remote_aes=settings.scu.remote_aes,
        )

    def admission(self, question: AdmissionQuestion, /) -> PolicyRefusal | None:
        """Decide by protocol version, rules, AE titles, and the number of open associations."""
        return self.admission_verdict(question).refusal

    def opening(self, question: OpeningQuestion, /) -> PolicyRefusal | None:
        """Decide by the zone and the AE title that ask. The front-end's side has no rule of its own."""
        return self.opening_verdict(question).refusal

    def operation(self, question: OperationQuestion, /) -> PolicyRefusal | None:
        """Decide by the rules for operations; where none matches, by what the route allows."""
        verdict = self._operations.get(question)
        if verdict is None:
            if len(self._operations) >= _REMEMBERED:
                self._operations.clear()
            verdict = self._operations[question] = self.operation_verdict(question)
        return verdict.refusal

    def admission_verdict(self, question: AdmissionQuestion) -> Verdict:
        """Decide on an admission, and say by which setting."""
        if not question.protocol_version & 1:  # PS3.8 §9.3.2: bit 0 is version 1
            return Verdict(PolicyRefusal("protocol-version", VERSION_NOT_SUPPORTED))
        misspelt = self._misspelt(question)
        if misspelt is not None:
            return misspelt
        verdict = _NO_RULE
        for number, rule in enumerate(self._policy.admission):
            if _admission_matches(rule, question):
                verdict = _by_rule(
                    f"policy.admission[{number}]",
                    rule.effect,
                    PolicyRefusal("denied-by-policy", CALLING_NOT_RECOGNIZED),
                )
                break
        if verdict.refusal is not None:
            return verdict
        if self._calling_ae_titles is not None and question.calling_ae not in self._calling_ae_titles:
            return _refused("calling-ae-not-allowed", CALLING_NOT_RECOGNIZED, "association.calling_ae_titles")
        if question.listener is not None and question.called_ae not in question.listener:
            return _refused(
                "called-ae-not-served-here", CALLED_NOT_RECOGNIZED, "association.listeners[].ae_titles"
            )
        if question.draining:
            return Verdict(PolicyRefusal("draining", CONGESTION))
        if question.open_associations >= self._max_associations:
            return _refused("association-limit", LIMIT_EXCEEDED, "association.max_associations")
        for code, setting, limit, count in self._shares(question):
            if limit and count >= limit:
                return _refused(code, LIMIT_EXCEEDED, f"association.limits.{setting}")
        for code, setting, too_fast in _rates(question):
            if too_fast:
                return _refused(code, LIMIT_EXCEEDED, f"association.limits.{setting}")
        return verdict

    def _misspelt(self, question: AdmissionQuestion) -> Verdict | None:
        """Refuse titles that are none, and those that a route or rule would name but for their case."""
        for title, named, rejection in (
            (question.called_ae, self._named_called, CALLED_NOT_RECOGNIZED),
            (question.calling_ae, self._named_calling, CALLING_NOT_RECOGNIZED),
        ):
            if not is_ae_title(title):
                return Verdict(PolicyRefusal("malformed-ae-title", rejection))
            resembled = named.resembled_by(title)
            if resembled is not None:
                return _refused("ae-title-in-other-case", rejection, resembled.setting)
        return None

    def _shares(self, question: AdmissionQuestion) -> tuple[tuple[str, str, int, int], ...]:
        """Return code, setting, limit and count for each of whom associations are counted by."""
        limits = self._limits
        return (
            (
                "address-limit",
                "associations_per_address",
                limits.associations_per_address,
                question.from_address,
            ),
            (
                "calling-ae-limit",
                "associations_per_calling_ae",
                limits.associations_per_calling_ae,
                question.of_calling_ae,
            ),
            (
                "called-ae-limit",
                "associations_per_called_ae",
                limits.associations_per_called_ae,
                question.to_called_ae,
            ),
        )

    def opening_verdict(self, question: OpeningQuestion) -> Verdict:
        """Decide on an opening, and say by which setting."""
        remote = self._remote_aes.get(question.target or "")
        if question.side is Side.FRONT_END or remote is None:
            return _NO_RULE
        if not is_ae_title(question.calling_ae):  # another zone's front-end may not have looked
            return Verdict(PolicyRefusal("malformed-ae-title", CALLING_NOT_RECOGNIZED))
        if not is_ae_title(question.called_ae):
            return Verdict(PolicyRefusal("malformed-ae-title", CALLED_NOT_RECOGNIZED))
        where = f"scu.remote_aes[{list(self._remote_aes).index(remote.ae_title)}]"
        if remote.from_zones is not None and question.from_zone not in remote.from_zones:
            return _refused("zone-not-allowed", CALLING_NOT_RECOGNIZED, f"{where}.from_zones")
        if remote.from_calling is not None and not any(
            fnmatchcase(question.calling_ae, pattern) for pattern in remote.from_calling
        ):
            return _refused("calling-ae-not-allowed", CALLING_NOT_RECOGNIZED, f"{where}.from_calling")
        return _NO_RULE

    def operation_verdict(self, question: OperationQuestion) -> Verdict:
        """Decide on an operation, and say by which setting.

        C-CANCEL always passes: it concerns an operation that was permitted before. An operation that PS3.7 doesn't
        define passes where no rule names it and the route allows everything.
        """
        if question.command_field == CommandField.C_CANCEL_RQ:
            return _NO_RULE
        for number, rule in enumerate(self._policy.operations):
            if _operation_matches(rule, question):
                return _by_rule(f"policy.operations[{number}]", rule.effect, NOT_AUTHORIZED)
        index = index_of_route(self._routes, called=question.called_ae, calling=question.calling_ae)
        route = Route() if index is None else self._routes[index]
        listed = "allow" if question.from_client or route.allow_from_target is None else "allow_from_target"
        if (route.allow if listed == "allow" else route.allow_from_target) is None:
            return _NO_RULE
        rule_name = f"routes[{index}].{listed}"
        if question.service not in _NAMES:
            return Verdict(replace(UNRECOGNIZED, rule=rule_name), rule_name)
        service = DimseService(question.service)
        allowed = route.allows(service) if question.from_client else route.allows_from_target(service)
        return _by_rule(rule_name, Effect.PERMIT if allowed else Effect.DENY, NOT_AUTHORIZED)


def _rates(question: AdmissionQuestion) -> tuple[tuple[str, str, bool], ...]:
    """Return code, setting and answer for each of whom openings are counted by."""
    return (
        ("openings-too-fast", "openings_per_second", question.address_too_fast),
        ("calling-ae-too-fast", "calling_ae_openings_per_second", question.calling_ae_too_fast),
        ("called-ae-too-fast", "called_ae_openings_per_second", question.called_ae_too_fast),
    )


def _refused(code: str, rejection: AssociateRJ, rule: str) -> Verdict:
    return Verdict(PolicyRefusal(code, rejection, rule=rule), rule)


def _by_rule(rule: str, effect: Effect, refusal: PolicyRefusal) -> Verdict:
    return Verdict(replace(refusal, rule=rule) if effect is Effect.DENY else None, rule)


def _admission_matches(rule: AdmissionRule, question: AdmissionQuestion) -> bool:
    return (
        fnmatchcase(question.calling_ae, rule.calling)
        and fnmatchcase(question.called_ae, rule.called)
        and (rule.listeners is None or question.port in rule.listeners)
        and rule.covers(question.peer_host)
        and (rule.certificate is None or _certificate_matches(rule.certificate, question.certificate))
        and (rule.user is None or fnmatchcase(username(question.user_identity), rule.user))
    )


def _certificate_matches(pattern: CertificatePattern, certificate: PeerCertificate | None) -> bool:
    if certificate is None:
        return False
    return (
        (pattern.subject is None or fnmatchcase(certificate.subject, pattern.subject))
        and (pattern.issuer is None or fnmatchcase(certificate.issuer, pattern.issuer))
        and (pattern.san is None or _any_name_matches(pattern.san, certificate.names))
    )


def _any_name_matches(pattern: str, names: Sequence[str]) -> bool:
    """Compare as DNS does: the case of a name doesn't count (RFC 4343)."""
    return any(fnmatchcase(name.casefold(), pattern.casefold()) for name in names)


def _operation_matches(rule: OperationRule, question: OperationQuestion) -> bool:
    asked_by = AskedBy.CLIENT if question.from_client else AskedBy.TARGET
    return (
        (rule.services is None or question.service in rule.services)
        and (rule.asked_by is None or rule.asked_by is asked_by)
        and fnmatchcase(question.calling_ae, rule.calling)
        and fnmatchcase(question.called_ae, rule.called)
    )
