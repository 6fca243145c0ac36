"""Routes and rules of a configuration that are never reached: the first match wins, and one before matches as much."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, ip_network
from typing import TypeVar

from dimse_mesh.runtime.routing import Route
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.runtime.settings_policy import AdmissionRule, OperationRule

_T = TypeVar("_T")
_WILDCARDS = frozenset("*?[")


def never_reached(settings: ZoneSettings) -> Iterator[str]:
    """Yield a line for each of them, as far as that can be told for certain."""
    yield from _lines("routes", settings.routes, _names_as_many)
    yield from _lines("policy.admission", settings.policy.admission, _admission_covers)
    yield from _lines("policy.operations", settings.policy.operations, _operation_covers)


def _lines(where: str, entries: Sequence[_T], covers: Callable[[_T, _T], bool]) -> Iterator[str]:
    for number, entry in enumerate(entries):
        first = next((at for at in range(number) if covers(entries[at], entry)), None)
        if first is not None:
            yield f"{where}[{number}]: never reached, since {where}[{first}] matches all that it does"


def _names_as_many(
    one: Route | AdmissionRule | OperationRule, other: Route | AdmissionRule | OperationRule
) -> bool:
    """Tell whether one matches all AE titles that another does."""
    return _matches_all_of(one.called, other.called) and _matches_all_of(one.calling, other.calling)


def _matches_all_of(pattern: str, other: str) -> bool:
    """Tell whether a pattern of AE titles matches whatever another one does. False, too, if that is hard to say."""
    if pattern == other or (_WILDCARDS.isdisjoint(other) and fnmatchcase(other, pattern)):
        return True
    prefix = pattern.removesuffix("*")
    return prefix != pattern and _WILDCARDS.isdisjoint(prefix) and other.startswith(prefix)


def _admission_covers(one: AdmissionRule, other: AdmissionRule) -> bool:
    return (
        _names_as_many(one, other)
        and one.certificate in (None, other.certificate)
        and one.user in (None, other.user)
        and _has_all(one.listeners, other.listeners)
        and _holds(one.peers, other.peers)
    )


def _operation_covers(one: OperationRule, other: OperationRule) -> bool:
    return (
        _names_as_many(one, other)
        and one.asked_by in (None, other.asked_by)
        and _has_all(one.services, other.services)
    )


def _has_all(some: Collection[object] | None, others: Collection[object] | None) -> bool:
    """Tell whether others are all among some; None: all there are."""
    return some is None or (others is not None and set(some) >= set(others))


def _holds(networks: Sequence[str] | None, others: Sequence[str] | None) -> bool:
    """Tell whether each of some networks lies in one of others; None: all there are."""
    if networks is None or others is None:
        return networks is None
    return all(any(_lies_in(other, network) for network in networks) for other in others)


def _lies_in(inner: str, outer: str) -> bool:
    inside, outside = ip_network(inner), ip_network(outer)
    if isinstance(inside, IPv4Network):
        return isinstance(outside, IPv4Network) and inside.subnet_of(outside)
    return not isinstance(outside, IPv4Network) and inside.subnet_of(outside)
