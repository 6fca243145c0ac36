"""What durable delivery needs on the bus: its own subjects, and JetStream's API for the streams that are its concern.

A stream's name is one token of the API's subjects, so a permission names one stream. The front-ends of a source zone
write their spools and never read them; the delivery service of a destination's zone reads and removes what is for its
own AEs, and that of a source zone what waits for hooks; the `queue` commands of the source zone do both; its keeper
(in the C-STORE handler) removes pieces that no manifest tells of, and looks how much waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.spool_subjects import SpoolSubjects, StateKind

_API = "$JS.API"


def durable_publishing(
    role: Role, *, own: Iterable[SpoolSubjects], incoming: Iterable[SpoolSubjects]
) -> Iterator[str]:
    """Yield where a role may publish.

    Args:
        own: the spools of its zone's durable routes.
        incoming: the spools of any zone that are for AEs of its zone.
    """
    if role is Role.ASSOCIATION:
        for spool in own:
            yield from (spool.chunk("*"), spool.object(), spool.state(StateKind.KNOWN))
            for stream in (spool.stream, spool.state_stream):
                yield from (f"{_API}.STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE", "UPDATE"))
            yield f"{_API}.STREAM.PURGE.{spool.stream}"
            yield f"{_API}.DIRECT.GET.{spool.state_stream}"
    elif role is Role.COMMAND:
        for spool in own:
            yield from (spool.object(), spool.state(StateKind.PAUSE))
            yield from _reading(spool)
            yield from _removing(spool)
            yield f"{_API}.STREAM.INFO.{spool.stream}"
    elif role is Role.STORE:
        for spool in own:
            yield from (
                f"{_API}.{verb}.{spool.stream}" for verb in ("STREAM.INFO", "STREAM.PURGE", "DIRECT.GET")
            )
            yield f"{_API}.DIRECT.GET.{spool.state_stream}"
    elif role is Role.DELIVERY:
        for spool in incoming:
            yield from (spool.failed(), spool.state(StateKind.STATUS))
            yield from _reading(spool)
            yield from _removing(spool)
            yield from (f"{_API}.STREAM.NAMES", f"{_API}.STREAM.INFO.{spool.stream}")
            if spool.is_before_hooks:  # what the hooks have made of an object goes into the next spool
                behind = spool.behind_hooks
                yield from (behind.chunk("*"), behind.object(), f"{_API}.STREAM.PURGE.{behind.stream}")


def durable_hearing(role: Role, incoming: Iterable[SpoolSubjects]) -> Iterator[str]:
    """Yield what a role may subscribe to."""
    if role is Role.DELIVERY:
        for spool in incoming:
            yield from (spool.spooled, spool.state(StateKind.PAUSE))


def _reading(spool: SpoolSubjects) -> Iterator[str]:
    yield f"{_API}.DIRECT.GET.{spool.stream}"
    yield f"{_API}.DIRECT.GET.{spool.state_stream}"


def _removing(spool: SpoolSubjects) -> Iterator[str]:
    yield f"{_API}.STREAM.MSG.DELETE.{spool.stream}"
    yield f"{_API}.STREAM.PURGE.{spool.stream}"
