"""Actions of people, reported to the audit trail: none is done that can't be reported."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping
from typing import TypeVar

from dimse_mesh.audit import AuditedObject, TrailError
from dimse_mesh.audit.codes import AuditedKind
from dimse_mesh.audit.events import console_action
from dimse_mesh.runtime.auditing import recorder_of
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.settings import ZoneSettings

Result = TypeVar("Result")
COMMAND = "command"
"""The service that the records of commands name."""


def audited(
    settings: ZoneSettings,
    action: str,
    kind: AuditedKind,
    name: str,
    do: Callable[[], Result],
    *,
    details: Mapping[str, str] | None = None,
) -> Result:
    """Report an action, do it, and report if it failed.

    Args:
        action: the command, as it is typed.
        kind, name: of what it is done to.

    Raises:
        StartError: the audit trail can't be written: nothing was done.
    """
    if settings.audit is None:
        return do()
    recorder = recorder_of(settings.audit, settings.zone, COMMAND, forwards=False)
    acted_on = AuditedObject(kind=kind, object_id=name, details=details or {})

    def report(failure: str) -> None:
        try:
            recorder.write_now(console_action(recorder.source, _user(), action, acted_on, failure=failure))
        except TrailError as error:
            raise StartError(f"audit.directory: {error.strerror}; {action} is not done unaudited") from error

    report("")
    try:
        return do()
    except BaseException as error:
        report(type(error).__name__)
        raise


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
