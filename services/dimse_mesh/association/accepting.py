"""Accept an association at the front-end itself, and serve it to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dimse_mesh.association.acceptor import Acceptor
from dimse_mesh.association.association_events import says_nothing
from dimse_mesh.association.durable_session import DurableSession
from dimse_mesh.endpoint.auditing import AssociationAudit
from dimse_mesh.endpoint.own import answer_to
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.upper_layer import AssociateRQ, PresentationContextAC, RoleSelection


class OwnAssociations:
    """The associations that a front-end has accepted by itself."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._sessions: set[DurableSession] = set()

    def drain(self) -> None:
        """Abort each association as soon as no operation is under way."""
        for session in self._sessions:
            session.drain()

    async def serve(
        self,
        acceptor: Acceptor,
        request: AssociateRQ,
        session: DurableSession,
        *,
        contexts: Sequence[PresentationContextAC],
        roles: Iterable[RoleSelection],
        audit: AssociationAudit,
        opened: Callable[[], Callable[[str], None]] = lambda: says_nothing,
    ) -> str:
        """Answer A-ASSOCIATE-AC and serve the association; return the code of its end.

        Args:
            session: of the acceptor's peer.
            contexts, roles: the answer's.
            audit: is told that the association stands, and that it is over.
            opened: is told that the association stands; what it returns, that it is over.
        """
        max_length = self._context.settings.association.max_pdu_length
        answer = answer_to(request, contexts=contexts, maximum_length=max_length, roles=roles)
        acceptor.peer.accept(answer.encode())
        acceptor.peer.join(session, max_pdu=request.maximum_length or 0, max_length=max_length)
        acceptor.peer.resume_reading()
        self._sessions.add(session)
        self._context.counters.association_opened()
        audit.opened()
        ended = opened()
        code = "cancelled"
        try:
            code = await session.run()
        finally:
            self._sessions.discard(session)
            self._context.counters.association_closed(code)
            audit.ended(code, session.summary, received=acceptor.peer.bytes_received)
            ended(code)
            if code == "cancelled":
                session.abort(code)
        return code
