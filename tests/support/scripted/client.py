"""The end that opens an association."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Self

from tests.support.scripted.peer import TIMEOUT, Aborted, Peer, Rejected
from tests.support.wire import VERIFICATION, Associate, Context, Pdu, PduType, associate_rq, parse_associate


class Client(Peer):
    """A scripted client."""

    @classmethod
    def connect(cls, port: int, *, timeout: float = TIMEOUT) -> Self:
        """Open a transport connection to 127.0.0.1, no association yet."""
        return cls(socket.create_connection(("127.0.0.1", port), timeout), timeout=timeout)

    def associate(self, request_pdu: bytes) -> Associate:
        """Send this A-ASSOCIATE-RQ and return what the A-ASSOCIATE-AC says.

        Raises:
            Rejected, Aborted, Closed: something else was the answer.
        """
        self.request = parse_associate(Pdu(request_pdu[0], request_pdu[6:]))
        self.send(request_pdu)
        answer = self.read_pdu()
        if answer.kind == PduType.ASSOCIATE_RJ:
            raise Rejected(answer)
        if answer.kind == PduType.ABORT:
            raise Aborted(answer)
        assert answer.kind == PduType.ASSOCIATE_AC, f"PDU type {answer.kind} in answer to A-ASSOCIATE-RQ"
        self.accept = parse_associate(answer)
        return self.accept

    @classmethod
    def open(
        cls,
        port: int,
        *,
        called: str | bytes,
        calling: str | bytes = "SCRIPTED",
        contexts: Iterable[Context] = (Context(1, VERIFICATION),),
        max_length: int = 65536,
        extra: bytes = b"",
        timeout: float = TIMEOUT,
    ) -> Self:
        """Connect and associate.

        Raises:
            Rejected, Aborted, Closed: there is no association; the socket is closed.
        """
        client = cls.connect(port, timeout=timeout)
        try:
            client.associate(
                associate_rq(
                    called=called, calling=calling, contexts=contexts, max_length=max_length, extra=extra
                )
            )
        except BaseException:
            client.close()
            raise
        return client
