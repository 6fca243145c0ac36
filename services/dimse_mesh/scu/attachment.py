"""Waits for a front-end to say that it wants the association that was opened for it.

The reply to its `OpenRequest` may have been lost, or the front-end has died since: then nobody would ever use the
association, and the target's slot would stay taken.
"""

from __future__ import annotations

from dimse_mesh.endpoint import AssociationHalf, Router

ATTACH_INTERVAL = 1.0
"""Seconds between questions."""


class Attachment:
    """Asks the front-end of one association; aborts the target when nobody wants it.

    Args:
        timeout: seconds until it is aborted (`scu.attach_timeout`).
    """

    def __init__(self, router: Router, half: AssociationHalf, *, timeout: float) -> None:
        self._router = router
        self._half = half
        self._until = self._router.now() + timeout
        self._timer = self._router.call_later(half, ATTACH_INTERVAL, self._look)

    def cancel(self) -> None:
        """Ask no more: the association is over."""
        self._timer.cancel()

    def _look(self) -> None:
        if self._half.ask_for_attachment():
            return
        if self._router.now() >= self._until:
            self._half.abort("never-attached")
        else:
            self._timer = self._router.call_later(self._half, ATTACH_INTERVAL, self._look)
