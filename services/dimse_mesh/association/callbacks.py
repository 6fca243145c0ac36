"""Associations that a target opens because of what a client has asked: its AE titles are translated back.

An executor may send a target other AE titles than the client has said (`called_ae`, `calling_ae`). The target uses
these when it opens an association in turn: for the C-STORE sub-operations of a C-MOVE, or to report a storage
commitment. The executor has told every front-end of its zone of the operation (`CallbackNotice`), before the target got
it; the association arrives at one of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import anyio

from dimse_mesh.dimse import CommandField, CommandHead, CommandSet, Tag
from dimse_mesh.mesh import EnvelopeError, Mesh, Message, unpack
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.callbacks import CallbackNotice
from dimse_mesh.schemas.subjects import Kind

LIFETIME = 24 * 3600.0
"""Seconds that a target may take to call back."""
MAX_NOTICES = 4096
"""Notices that are kept; the oldest are forgotten first."""
PATIENCE = 0.1
"""Seconds in which a notice may be overtaken by the association that it tells of."""
_PAUSE = 0.01


@dataclass(slots=True)
class _Noted:
    """A notice, until when it holds, and how many associations it was chosen for."""

    notice: CallbackNotice
    until: float
    chosen: int = 0


@dataclass(frozen=True, slots=True)
class Callback:
    """The AE titles of an association as those whom it concerns know them.

    Attributes:
        translate: changes what must be changed in command sets that the target sends; None: nothing.
    """

    called_ae: str
    calling_ae: str
    translate: Callable[[CommandHead, bytes], bytes] | None = None


class Callbacks:
    """The notices that this front-end has got.

    Args:
        remote_aes: of this zone; those with rewritten AE titles are waited for.
        clock: seconds.
    """

    def __init__(
        self, remote_aes: Iterable[RemoteAe] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._noted: dict[CallbackNotice, _Noted] = {}
        """In the order in which they came."""
        self._moves: dict[tuple[str, str | None, str, int], _Noted] = {}
        """The latest of those that a C-STORE request names, by all that it says of it."""
        self._rewritten = frozenset(
            remote.called_ae or remote.ae_title
            for remote in remote_aes
            if remote.called_ae is not None or remote.calling_ae is not None
        )

    async def listen(self, mesh: Mesh) -> None:
        """Hear what the executors of the zone tell."""

        def received(message: Message) -> None:
            sender = message.sender
            if sender is None or sender.role is not Role.SCU or sender.zone != mesh.address.zone:
                return
            try:
                notice, _ = unpack(CallbackNotice, message.payload)
            except EnvelopeError:
                return
            self.note(notice)

        await mesh.subscribe(mesh.subjects.mine(Kind.CALLBACK), received)

    def note(self, notice: CallbackNotice) -> None:
        """Keep a notice, within the bounds; one of the same operation is replaced."""
        if notice in self._noted:
            self._forget(notice)
        elif len(self._noted) >= MAX_NOTICES:
            self._forget(next(iter(self._noted)))
        noted = _Noted(notice, self._clock() + LIFETIME)
        self._noted[notice] = self._moves[_key(notice)] = noted

    def _forget(self, notice: CallbackNotice) -> None:
        noted, key = self._noted.pop(notice), _key(notice)
        if self._moves.get(key) is noted:
            del self._moves[key]

    async def of(self, *, called: str, calling: str) -> Callback | None:
        """Return how an association is to be translated; None: not at all.

        Args:
            called: the called AE title that the target says.
            calling: its own.
        """
        found = self._find(called, calling)
        if found is None and calling in self._rewritten:
            with anyio.move_on_after(PATIENCE):
                while found is None:
                    await anyio.sleep(_PAUSE)
                    found = self._find(called, calling)
        return found

    def _find(self, called: str, calling: str) -> Callback | None:
        now = self._clock()
        ours = [
            kept for kept in self._noted.values() if kept.until > now and kept.notice.target_title == calling
        ]
        moves = [kept.notice for kept in ours if kept.notice.destination == called]
        if moves:
            return Callback(called, moves[-1].called_ae, partial(self._with_originator, calling, called))
        reports = [
            kept for kept in ours if kept.notice.destination is None and kept.notice.client_title == called
        ]
        if not reports:
            return None
        # The report itself says whose it is, but comes only when the association stands: in the order of the requests.
        chosen = min(reports, key=lambda kept: kept.chosen)
        chosen.chosen += 1
        return Callback(chosen.notice.calling_ae, chosen.notice.called_ae)

    def _with_originator(self, calling: str, called: str, head: CommandHead, command: bytes) -> bytes:
        """Put the client's own AE title into Move Originator AE Title (PS3.7 §9.1.1.1.6).

        The operation is looked up with each request: one that has just begun may use an association that stands.
        """
        if head.command_field != CommandField.C_STORE_RQ:
            return command
        request = CommandSet.parse(command)
        originator, message_id = request.move_originator_ae, request.move_originator_message_id
        if originator is None or message_id is None:
            return command
        noted = self._moves.get((calling, called, originator, message_id))
        if noted is None or noted.until <= self._clock() or noted.notice.calling_ae == originator:
            return command
        changed: dict[int, bytes | int | str | None] = {
            Tag.MoveOriginatorApplicationEntityTitle: noted.notice.calling_ae
        }
        return request.replace(changed).encode()


def _key(notice: CallbackNotice) -> tuple[str, str | None, str, int]:
    return notice.target_title, notice.destination, notice.client_title, notice.message_id
