"""A destination that can be killed. What it has kept it keeps, whether its answer was heard or not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from tests.durable.books import Books
from tests.support.scripted import Server, ServerPeer, Sink
from tests.support.wire import Command, Message, Tag, response


class Archive:
    """Keeps the digests of what it gets in the books."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._server = Server(self._serve)
        self.port = self._server.port

    def _serve(self, peer: ServerPeer) -> None:
        """Serve one association: accept everything, keep every object, then answer."""
        taken = hashlib.sha256()

        def sink_for(_: Message) -> Sink:
            nonlocal taken
            taken = hashlib.sha256()
            return taken.update

        peer.sink_for = sink_for
        calling = peer.accept_association().calling.decode().strip()

        def answer(message: Message) -> Iterator[Message]:
            if message.field == Command.C_STORE:
                self._books.arrive(calling, message.text(Tag.AFFECTED_SOP_INSTANCE), taken.digest())
            yield response(message)

        peer.serve(answer)

    def kill(self) -> None:
        """Break its associations, in the middle of whatever comes, and listen no more."""
        self._server.stop(check=False)

    def start(self) -> None:
        """Listen again."""
        self._server = Server(self._serve, port=self.port)
