"""Structured logs on standard error: key=value text or JSON lines. One logger per package.

Redaction is by construction. A log line is an event name and fields. Bytes are never printed, long text is cut, and
control characters are escaped, since an AE title comes from a peer. Of an exception only the types, the places and,
for our own errors, the code are shown, since another library's message may quote a data set.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dimse_mesh.runtime.settings_observability import ObservabilitySettings

ROOT = "dimse_mesh"
MAX_TEXT = 200
_TRACE: ContextVar[str | None] = ContextVar("traceparent of log lines", default=None)
_VALUE = re.compile(r"""[:<(\[{'"\n]""")


class EventLog:
    """A package's logger: an event name, then fields."""

    __slots__ = ("_logger",)

    def __init__(self, package: str) -> None:
        self._logger = logging.getLogger(package)

    def info(self, event: str, /, **fields: object) -> None:
        """Log an event that an operator wants to know of."""
        if self._logger.isEnabledFor(logging.INFO):
            self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, /, **fields: object) -> None:
        """Log a problem that the process has coped with."""
        self._logger.warning(event, extra={"fields": fields})

    def failure(self, event: str, error: BaseException, /, **fields: object) -> None:
        """Log a problem that the process has not coped with: the types and places of `error`, not its message."""
        self._logger.error(event, exc_info=error, extra={"fields": fields})


def enter_trace(traceparent: str | None) -> None:
    """Give every further log line of this task, and of tasks that it starts, the ids of a span; None: of no span."""
    _TRACE.set(traceparent)


class InTrace:
    """Give the log lines of the block the ids of a span; None: of no span."""

    __slots__ = ("_token", "_traceparent")

    def __init__(self, traceparent: str | None) -> None:
        self._traceparent = traceparent
        self._token: Token[str | None] | None = None

    def __enter__(self) -> None:
        self._token = _TRACE.set(self._traceparent)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _TRACE.reset(self._token)


def redacted(value: object) -> str | int | float | bool | None:
    """Return a value in the form that a log may hold."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    text = str(value)
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}..."
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def words_of(record: logging.LogRecord) -> str:
    """Return what may be shown of another library's message: its template, or its words up to the first value.

    Arguments may hold anything, and so may what the library has formatted itself: asyncio's "Exception in callback
    ..." shows the callback's arguments, which may be bytes from a peer.
    """
    message = str(record.msg)
    return message if record.args else _VALUE.split(message, maxsplit=1)[0].rstrip()


def described(error: BaseException) -> str:
    """Return an exception's types, codes and places, without any message."""
    parts: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(parts) < 5:
        code = getattr(seen, "code", None)
        name = type(seen).__name__ + (f"({code})" if isinstance(code, str) else "")
        frames = traceback.extract_tb(seen.__traceback__)[-6:]
        places = " < ".join(
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno}:{frame.name}" for frame in reversed(frames)
        )
        parts.append(f"{name} at {places}" if places else name)
        seen = (
            seen.exceptions[0] if isinstance(seen, BaseExceptionGroup) else seen.__cause__ or seen.__context__
        )
    return "; from ".join(parts)


class _Formatter(logging.Formatter):
    def __init__(self, constant: Mapping[str, str]) -> None:
        super().__init__()
        self._constant = constant

    def collect(self, record: logging.LogRecord) -> dict[str, str | int | float | bool | None]:
        """Return the fields of a record in the order in which they are written."""
        ours = record.name == ROOT or record.name.startswith(f"{ROOT}.")
        fields: dict[str, str | int | float | bool | None] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **self._constant,
            "logger": record.name,
            "event": redacted(record.getMessage() if ours else words_of(record)),
        }
        extra = getattr(record, "fields", None)
        if isinstance(extra, dict):
            for name, value in extra.items():
                fields[name] = redacted(value)
        traceparent = _TRACE.get()
        if traceparent is not None:
            _, fields["trace_id"], fields["span_id"], _ = traceparent.split("-")
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = described(record.exc_info[1])
        return fields


class TextFormatter(_Formatter):
    """`time level event key=value ...`, values quoted where they hold spaces."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        return " ".join(f"{name}={_quoted(value)}" for name, value in self.collect(record).items())


class JsonFormatter(_Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        return json.dumps(self.collect(record), ensure_ascii=True)


def _quoted(value: str | float | bool | None) -> str:
    if isinstance(value, str):
        return value if value and not any(character in ' ="' for character in value) else json.dumps(value)
    return json.dumps(value)


def configure_logging(
    settings: ObservabilitySettings, constant: Mapping[str, str], stream: TextIO | None = None
) -> None:
    """Send all logs of the process to `stream` (standard error); every line holds the fields of `constant`."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(
        JsonFormatter(constant) if settings.log_format == "json" else TextFormatter(constant)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(ROOT).setLevel(settings.log_level.upper())
