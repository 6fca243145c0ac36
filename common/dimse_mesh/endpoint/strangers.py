"""Frames of strangers: for channels that have no half, or from another instance than the one at the half's other end.

They come from executors that have taken an `OpenRequest`, from instances that were given up, and from the other ends of
associations that are over. Each is told what it has to know, so that no half stands alone for long.
"""

from __future__ import annotations

from dimse_mesh.endpoint.courier import Courier
from dimse_mesh.endpoint.openings import Openings
from dimse_mesh.endpoint.pending_aborts import PendingAborts
from dimse_mesh.endpoint.ports import HalfEvents
from dimse_mesh.schemas.addresses import HalfAddress, InstanceAddress, Role
from dimse_mesh.schemas.frames import Frame, FrameKind, decode_u32


class Strangers:
    """What an instance answers strangers.

    Args:
        own: address of the instance.
    """

    def __init__(
        self, own: InstanceAddress, courier: Courier, openings: Openings, pending_aborts: PendingAborts
    ) -> None:
        self._own = own
        self._courier = courier
        self._openings = openings
        self._pending_aborts = pending_aborts

    def half_received(self, half: HalfEvents, frame: Frame, sender: InstanceAddress) -> bool:
        """Handle a frame for a half whose other end is not the sender: it was given up, or is being waited for.

        True: the sender has our `OpenRequest`, and the association stands for it, so the segment may be for the half.
        """
        channel = half.identity.local.channel
        kind = frame.kind
        if kind == FrameKind.RESET:
            stranger = _half_in(frame, sender)
            self._pending_aborts.answered(channel, stranger)
            self._openings.gone(channel, stranger)
        elif kind == FrameKind.TAKEN:
            self._taken(frame, sender)
        elif kind == FrameKind.PROBE:
            if self._taken(frame, sender):
                self._openings.reply_lost(channel)
        elif half.identity.remote is None and self._is_taker(channel, sender):
            if kind < FrameKind.ACK:
                return True
            if kind in {FrameKind.ACK, FrameKind.NACK}:
                self._openings.reply_lost(channel)
        return False

    def unknown_channel(self, frame: Frame, sender: InstanceAddress) -> None:
        """Handle a frame for a channel that has no half."""
        kind = frame.kind
        if kind not in {FrameKind.RESET, FrameKind.TAKEN, FrameKind.PROBE, FrameKind.ABORT}:
            return
        remote = _half_in(frame, sender)
        if kind == FrameKind.RESET:
            self._pending_aborts.answered(frame.channel, remote)
            self._openings.give_up(frame.channel, remote)
        elif kind == FrameKind.PROBE and self._openings.has(frame.channel, remote):
            self._courier.send_taken(remote, HalfAddress(self._own, frame.channel))
        else:
            if kind == FrameKind.ABORT:
                self._openings.give_up(frame.channel, remote)
            self._courier.send_reset(remote, frame.channel)

    def answer_abort(self, frame: Frame, sender: InstanceAddress) -> None:
        """Answer an ABORT, so that it isn't repeated."""
        self._courier.send_reset(_half_in(frame, sender), frame.channel)

    def _is_taker(self, channel: int, sender: InstanceAddress) -> bool:
        return any(taker.instance == sender for taker in self._openings.takers(channel))

    def _taken(self, frame: Frame, sender: InstanceAddress) -> bool:
        """Note that an executor has our `OpenRequest`, or tell it that the request isn't wanted any more."""
        taker = _half_in(frame, sender)
        if sender.role is Role.SCU and self._openings.took(frame.channel, taker):
            return True
        self._courier.send_reset(taker, frame.channel)
        return False


def _half_in(frame: Frame, sender: InstanceAddress) -> HalfAddress:
    """Return the sender's half of an association that a frame's payload names.

    Raises:
        FrameError: it names none.
    """
    payload = frame.payload[2:] if frame.kind == FrameKind.ABORT else frame.payload
    return HalfAddress(sender, decode_u32(payload))
