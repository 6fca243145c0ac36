"""Why hooks could not be applied. The texts stand in dead letters and logs: no patient data in them."""

from __future__ import annotations


class HookFailed(Exception):
    """The hooks of an object failed: its text says which one, and how, without a value of the object."""


class HookRefusal(Exception):
    """For hooks in Python to raise: the object must not go on. Its text is shown to operators as it is."""
