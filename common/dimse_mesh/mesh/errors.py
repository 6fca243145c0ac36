"""What can go wrong between instances.

    MeshError                 code, retryable
    |- MeshUnavailable        no connection to NATS: refused, unknown host, wrong credentials, TLS, ...
    |- MeshTimeout            a request was not answered in time
    |- NoResponders           nobody subscribes to the subject (the server's status 503)
    |- NotPermitted           nats-server's permissions don't let our user publish or subscribe
    |- RemoteError            the other side answered with an error code instead of a reply
    |- PayloadTooLarge        the message exceeds what the server accepts; nothing was sent
    |- InvalidSubject         a subject with white space, control characters or an empty one
    |- EnvelopeError          the payload is not a head of the expected type, with its tail
    |  `- ForeignVersion      it is of another major version of the protocol
    `- JetStreamRefusal       JetStream answered with an error: full, no such stream, not enabled, ...

Exceptions of nats-py, ssl and sockets are translated into these at the edge of this package and nowhere else.
"""

from __future__ import annotations

import logging
import traceback
from pathlib import PurePath

from dimse_mesh.schemas.version import VERSION, ProtocolVersion

log = logging.getLogger(__name__)


class MeshError(Exception):
    """Base of everything that this package raises.

    `code` is a stable word for logs and metric labels; `retryable`: the same call may succeed later.
    """

    code = "mesh"
    retryable = False

    def __init__(self, message: str, *, code: str | None = None, retryable: bool | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable


class MeshUnavailable(MeshError):
    """There is no connection to NATS. The message names the server (without credentials) and the cause."""

    code = "unavailable"
    retryable = True


class MeshTimeout(MeshError):
    """A request was not answered within its timeout."""

    code = "timeout"
    retryable = True


class NoResponders(MeshError):
    """Nobody subscribes to the subject."""

    code = "no-responders"
    retryable = True


class NotPermitted(MeshError):
    """Our user lacks a permission. The message names subject, role and zone."""

    code = "not-permitted"


class RemoteError(MeshError):
    """The responder answered with an error code: `malformed`, `busy`, `internal` or one of its own."""

    code = "remote"


class PayloadTooLarge(MeshError):
    """The message is larger than the server accepts (a generic -ERR would close the connection)."""

    code = "payload-too-large"


class InvalidSubject(MeshError):
    """The subject can't be put on the wire."""

    code = "invalid-subject"


class EnvelopeError(MeshError):
    """The payload is not an envelope of the expected type. The text never repeats what was in it."""

    code = "malformed"


class ForeignVersion(EnvelopeError):
    """The message is of another major version: its sender and we can't talk to each other."""

    code = "version"

    def __init__(self, version: ProtocolVersion) -> None:
        super().__init__(f"a message of protocol version {version}; this one speaks {VERSION}")
        self.version = version


class JetStreamRefusal(MeshError):
    """JetStream answered a request or a message with an error.

    `number` is nats-server's own (`err_code`), 0 if it gave none.
    """

    code = "jetstream"

    def __init__(self, message: str, *, number: int = 0, retryable: bool = False) -> None:
        super().__init__(message, retryable=retryable)
        self.number = number


def report(who: str, error: Exception) -> None:
    """Log that code which was called back raised: the type and the place only, since the text may be private."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    log.error("%s raised %s at %s", who, type(error).__name__, places)
