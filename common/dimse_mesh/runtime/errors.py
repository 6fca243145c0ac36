"""Reasons why a service can't start, each as one line for people.

StartError            message, exit code 1
`- ConfigurationError (settings_errors) has its own tree: exit code 2
"""

from __future__ import annotations

import errno
import os


class StartError(Exception):
    """A service can't start or go on; the message says what happened and what to do."""


def listen_error(what: str, host: str, port: int, error: OSError) -> StartError:
    """Return what to raise when `what` (a listener's name) can't listen on `host`:`port`."""
    match error.errno:
        case errno.EADDRINUSE:
            hint = f"the port is in use: stop what listens there, or choose another {what} port"
        case errno.EACCES:
            hint = "no permission: ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)"
        case errno.EADDRNOTAVAIL:
            hint = "this machine doesn't have that address"
        case code:
            hint = os.strerror(code) if code is not None and code > 0 else "the name doesn't resolve"
    return StartError(f"{what}: can't listen on {host}:{port}: {hint}")


def first_of(error: BaseException, kinds: tuple[type[Exception], ...]) -> Exception | None:
    """Return the first exception of `kinds` in `error` or in the groups that it holds, or None."""
    if isinstance(error, kinds):
        return error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            found = first_of(inner, kinds)
            if found is not None:
                return found
    return None
