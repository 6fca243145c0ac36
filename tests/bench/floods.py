"""What a hostile peer does in `tests.bench.fairness`, as its own process.

    python -m tests.bench.floods NAME --port PORT [--target PORT]

It says five times a second what it got done so far: a flood that the mesh has ended is none.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from struct import pack

from tests.bench.raw_peer import CONTEXTS, FIND, STORE, find_request
from tests.support.scripted import Client
from tests.support.wire import (
    CT_STORAGE,
    VERIFICATION,
    Command,
    Context,
    Message,
    Tag,
    associate_ac,
    associate_rq,
    p_data,
    parse_associate,
    pdu,
    pdv,
    request,
    response,
)

RAW, FLOOD = "RAW", "FLOOD"
"""AE titles of an honest target and of the flood's own."""
ECHO_CONTEXT = next(context.id for context in CONTEXTS if context.abstract == VERIFICATION)
PDUS = 2000
PENDING = 0xFF00
SAID = 48_000
"""Bytes of user information in a large A-ASSOCIATE-RQ."""
MANY = Context(1, CT_STORAGE, ("1.2.840.10008.1.2." + "9" * 40,))

done: Counter[str] = Counter()
"""What the flood has done so far."""


@dataclass(frozen=True, slots=True)
class Where:
    """What is flooded: a port of the mesh; and where the flood's own target listens."""

    port: int
    target: int


# what is sent on an association


def empty_pdvs() -> bytes:
    """Return PDUs full of empty fragments: of a command that never ends."""
    one = pdv(ECHO_CONTEXT, is_command=True, is_last=False, fragment=b"")
    return pdu(4, one * 1000) * (PDUS // 100)


def tiny_operations() -> bytes:
    """Return C-ECHO-RQs, as many as come."""
    return b"".join(
        p_data(request(Command.C_ECHO, number % 65535 + 1, VERIFICATION, context_id=ECHO_CONTEXT))
        for number in range(PDUS)
    )


def tiny_queries() -> bytes:
    """Return C-FIND-RQs, each for one match."""
    return b"".join(find_request(number % 65535 + 1, 1) for number in range(PDUS))


def tiny_fragments() -> bytes:
    """Return PDUs full of fragments of two bytes, of a data set that never ends."""
    return pdu(4, pdv(STORE, is_command=False, is_last=False, fragment=bytes(2)) * 1000) * (PDUS // 100)


def endless_store() -> bytes:
    """Return the C-STORE-RQ that has it."""
    more: dict[int, int | str | bytes] = {
        Tag.PRIORITY: 0,
        Tag.AFFECTED_SOP_INSTANCE: "1.2.3",
        Tag.DATA_SET_TYPE: 1,
    }
    return p_data(request(Command.C_STORE, 1, CT_STORAGE, context_id=STORE, more=more))


def sending(where: Where, make: Callable[[], bytes], begin: Callable[[], bytes] = bytes) -> None:
    """Send on one association, on another when that ends, and read what comes back."""
    flood = make()
    while True:
        with (
            suppress(AssertionError, OSError),
            Client.open(where.port, called=RAW, contexts=CONTEXTS) as client,
        ):
            done["associations"] += 1
            threading.Thread(target=_drain, args=(client,), daemon=True).start()
            client.send(begin())
            while True:
                done["bytes"] += client.sock.send(flood)


def _drain(client: Client) -> None:
    with suppress(OSError):
        while client.sock.recv(1 << 16):
            pass


# before there is an association


def connecting(where: Where) -> None:
    """Connect, say nothing, and connect again."""
    held: list[socket.socket] = []
    while True:
        with suppress(OSError):
            held.append(socket.create_connection(("127.0.0.1", where.port), 30))
            done["connections"] += 1
        if len(held) > 200:
            held.pop(0).close()


def associating(where: Where) -> None:
    """Ask for associations as fast as they are refused or given."""
    asked = associate_rq(called=RAW, contexts=CONTEXTS)
    while True:
        with suppress(AssertionError, OSError), Client.connect(where.port) as client:
            done["asked"] += 1
            client.associate(asked)
            done["associations"] += 1
            client.release()


def refused(where: Where) -> None:
    """Ask for associations with 128 contexts and 50 KB of user information, that nobody serves."""
    contexts = [Context(2 * number + 1, MANY.abstract, MANY.transfers) for number in range(128)]
    asked = associate_rq(called="NOBODY", contexts=contexts, extra=pack(">BBH", 0x57, 0, SAID) + bytes(SAID))
    while True:
        with suppress(AssertionError, OSError), Client.connect(where.port) as client:
            done["asked"] += 1
            client.associate(asked)


def dribbling(where: Where) -> None:
    """Send A-ASSOCIATE-RQs byte by byte, on many connections in turn."""
    asked = associate_rq(called=RAW, contexts=CONTEXTS * 4)[:-1]
    at: dict[socket.socket, int] = {}
    while True:
        while len(at) < 100:
            with suppress(OSError):
                sock = socket.create_connection(("127.0.0.1", where.port), 30)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                at[sock] = 0
        for sock, sent in list(at.items()):
            try:
                sock.send(asked[sent : sent + 1])
                done["bytes"] += 1
                at[sock] = sent + 1
            except OSError:
                at[sock] = len(asked)
            if at[sock] >= len(asked):
                del at[sock]
                sock.close()


def shaking_hands(where: Where) -> None:
    """Make TLS connections, and go when they stand."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while True:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", where.port), 30) as plain,
            context.wrap_socket(plain),
        ):
            done["handshakes"] += 1


def reading_pages(where: Where) -> None:
    """Ask for the metrics."""
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", where.port), 30) as page:
            page.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            while page.recv(1 << 20):
                pass
            done["pages"] += 1


# of a target


def answering(where: Where) -> None:
    """Let a target of the flood's own answer a C-FIND without end; its client reads."""
    listening = socket.create_server(("127.0.0.1", where.target))
    threading.Thread(target=_answer, args=(listening,), daemon=True).start()
    while True:
        with (
            suppress(AssertionError, OSError),
            Client.open(where.port, called=FLOOD, contexts=CONTEXTS) as client,
        ):
            done["associations"] += 1
            client.send(find_request(1, 1))
            _drain(client)


def _answer(listening: socket.socket) -> None:
    while True:
        accepted, _ = listening.accept()
        with suppress(OSError, AssertionError), Client(accepted) as target:
            target.send(associate_ac(parse_associate(target.read_pdu()), max_length=131072))
            asked = request(Command.C_FIND, 1, "1.2.840.10008.5.1.4.1.2.2.1", context_id=FIND, data=b"")
            flood = p_data(response(Message(FIND, asked.command), PENDING, data=bytes(2))) * PDUS
            target.read_pdu()
            while True:
                done["bytes"] += target.sock.send(flood)


def computing(_: Where) -> None:
    """Compute, and leave the mesh alone: what any program beside it costs."""
    while True:
        done["rounds"] += 1
        sum(range(100_000))


def at_once(count: int, flood: Callable[[Where], None]) -> Callable[[Where], None]:
    """Return a flood that is so many at a time."""

    def run(where: Where) -> None:
        for _ in range(count - 1):
            threading.Thread(target=flood, args=(where,), daemon=True).start()
        flood(where)

    return run


FLOODS: dict[str, Callable[[Where], None]] = {
    "a program that computes": computing,
    "empty PDVs": partial(sending, make=empty_pdvs),
    "tiny fragments": partial(sending, make=tiny_fragments, begin=endless_store),
    "tiny operations": partial(sending, make=tiny_operations),
    "tiny operations, 8 connections": at_once(8, partial(sending, make=tiny_operations)),
    "tiny queries": partial(sending, make=tiny_queries),
    "responses of a target": answering,
    "idle connections": connecting,
    "associations": associating,
    "associations, 16 at a time": at_once(16, associating),
    "large refused requests": at_once(4, refused),
    "requests byte by byte": dribbling,
    "TLS handshakes": shaking_hands,
    "TLS handshakes, 8 at a time": at_once(8, shaking_hands),
    "health pages": at_once(4, reading_pages),
}


def _report() -> None:
    while True:
        time.sleep(0.2)
        print(", ".join(f"{count} {what}" for what, count in done.items()), flush=True)


def main() -> None:
    """Flood until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.floods", description=__doc__)
    parser.add_argument("flood", choices=FLOODS)
    parser.add_argument("--port", type=int, required=True, help="of the mesh")
    parser.add_argument("--target", type=int, default=0, help="of the flood's own target")
    options = parser.parse_args()
    threading.Thread(target=_report, daemon=True).start()
    FLOODS[options.flood](Where(options.port, options.target))


if __name__ == "__main__":
    main()
