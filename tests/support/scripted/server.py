"""The ends that are opened, and the server that has a script for each."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from tests.support.scripted.peer import TIMEOUT, Closed, Peer
from tests.support.wire import (
    RELEASE_RP_PDU,
    Associate,
    Command,
    ContextResult,
    Message,
    Pdu,
    PduType,
    associate_ac,
    parse_associate,
    response,
)


class ServerPeer(Peer):
    """A scripted server's end of one association."""

    _is_client = False

    def accept_association(
        self,
        results: Iterable[ContextResult] | None = None,
        *,
        max_length: int = 65536,
        extra: bytes = b"",
    ) -> Associate:
        """Read the A-ASSOCIATE-RQ, answer with A-ASSOCIATE-AC, and return the request."""
        asked = self.read_request()
        answer = associate_ac(asked, results, max_length=max_length, extra=extra)
        self.accept = parse_associate(Pdu(answer[0], answer[6:]))
        self.send(answer)
        return asked

    def read_request(self) -> Associate:
        """Read the A-ASSOCIATE-RQ and return it, answering nothing yet."""
        received = self.read_pdu()
        assert received.kind == PduType.ASSOCIATE_RQ, f"PDU type {received.kind} for A-ASSOCIATE-RQ"
        self.request = parse_associate(received)
        return self.request

    def serve(self, answer: Callable[[Message], Iterable[Message]]) -> None:
        """Answer every request with what `answer` returns for it, until release, abort or close."""
        while True:
            try:
                received = self.receive()
            except Closed:
                return
            if isinstance(received, Message):
                for message in answer(received):
                    self.send_message(message)
            elif received.kind == PduType.RELEASE_RQ:
                self.send(RELEASE_RP_PDU)
                return
            else:
                return


def success(message: Message) -> Iterable[Message]:
    """Answer a request with status success, a response with nothing."""
    return () if message.field & 0x8000 or message.field == Command.C_CANCEL else (response(message),)


def accept_and_serve(peer: ServerPeer) -> None:
    """Accept every context, and answer every request with success."""
    peer.accept_association()
    peer.serve(success)


class Server:
    """A scripted server on 127.0.0.1: `script` runs in a thread for each connection, which then closes.

    Whatever a script raises is raised again by `stop` (and the end of the `with` block).
    """

    def __init__(
        self,
        script: Callable[[ServerPeer], None] = accept_and_serve,
        *,
        port: int = 0,
        timeout: float = TIMEOUT,
        backlog: int = 128,
    ) -> None:
        self.script = script
        self.peers: list[ServerPeer] = []
        """Every connection there was, in order."""
        self._timeout = timeout
        self._errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(backlog)
        self.port: int = self._listener.getsockname()[1]
        self._accepter = threading.Thread(target=self._accept, name=f"scripted {self.port}", daemon=True)
        self._accepter.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            peer = ServerPeer(sock, timeout=self._timeout)
            thread = threading.Thread(target=self._run, args=(peer,), daemon=True)
            with self._changed:
                self.peers.append(peer)
                self._threads.append(thread)
                self._changed.notify_all()
            thread.start()

    def _run(self, peer: ServerPeer) -> None:
        try:
            self.script(peer)
        except BaseException as error:  # noqa: BLE001 - raised again by stop()
            self._errors.append(error)
        finally:
            peer.close()
            with self._changed:
                self._changed.notify_all()

    def wait_for_peers(self, count: int, *, timeout: float = TIMEOUT) -> list[ServerPeer]:
        """Return the connections once there were `count` of them."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.peers) >= count, timeout):
                raise AssertionError(f"{len(self.peers)} of {count} connections after {timeout:g} s")
            return list(self.peers)

    def join(self, *, timeout: float = TIMEOUT) -> None:
        """Wait until the script has ended for every connection so far; raise what a script raised."""
        for thread in list(self._threads):
            thread.join(timeout)
            assert not thread.is_alive(), "a scripted server's script does not end"
        if self._errors:
            raise self._errors[0]

    def stop(self, *, check: bool = True) -> None:
        """Stop listening, close every connection, and raise what a script raised if `check`."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepter.join(5)
        if not check:
            for peer in self.peers:
                peer.close()
        for thread in self._threads:
            thread.join(self._timeout)
        if check:
            self.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(check=kind is None)
