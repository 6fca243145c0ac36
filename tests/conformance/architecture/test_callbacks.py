"""Whoever gives the event loop a callback has thought of what follows when it raises.

What asyncio calls and nobody waits for raises into the loop's handler: a line in the log. But what the callback was to
do next is not done: a timer that isn't set again, other associations that don't get their turn.
"""

from __future__ import annotations

import ast
from pathlib import Path

CONTAINED = {
    "common/dimse_mesh/endpoint/connection.py": {
        "_go_on": "_hand_on reports what its receiver raises, and drops the connection",
        "_rested": "only resumes reading",
        "abort": "only closes the transport",
    },
    "common/dimse_mesh/endpoint/courier.py": {"flush": "each instance's frames by themselves"},
    "common/dimse_mesh/endpoint/patrol.py": {
        "_round": "each association by itself; the next round is set in any case"
    },
    "common/dimse_mesh/endpoint/socket_peer.py": {"_artim_expired": "reports, and drops the connection"},
    "common/dimse_mesh/endpoint/timers.py": {
        "_acknowledge": "each association by itself",
        "_ask_handlers": "each association by itself",
        "_sweep": "each association by itself; the next sweep is set in any case",
        "each": "each association by itself",
    },
    "common/dimse_mesh/mesh/liveness.py": {
        "_doubt": "is set again in any case",
        "_tell": "reports what on_dead raises",
    },
    "common/dimse_mesh/streams/congestion.py": {"_look": "is set again in any case"},
    "services/dimse_mesh/association/door.py": {
        "_accept": "is called again while connections wait to be accepted",
        "_entered": "only closes a socket",
        "_let_in": "only starts tasks; is called again when the next connection comes",
        "_listen": "only has the listener watched",
    },
    "services/dimse_mesh/association/opening.py": {"look": "reports, and asks again for the one opening"},
    "services/dimse_mesh/association/waiting.py": {"<lambda>": "_look is set again in any case"},
}
"""File, callback, and why an error in it ends no more than what it belongs to."""
_PLACES = {
    "call_soon": 0,
    "call_soon_threadsafe": 0,
    "add_done_callback": 0,
    "add_reader": 1,
    "call_later": 1,
    "call_at": 1,
    "later": 1,
}
"""Which argument is the callback."""
_OF_OURS = frozenset(("_router", "_timers", "instance"))
"""Whose `call_later` contains what is called."""


def given(text: str) -> set[str]:
    """Return the names of the callbacks that a module gives the event loop."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = _name(node.func)
        owner = _name(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        place = _PLACES.get(name)
        if place is not None and place < len(node.args) and owner not in _OF_OURS:
            names.add(_name(node.args[place]))
    return names


def _name(node: ast.expr) -> str:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case ast.Lambda():
            return "<lambda>"
    return "?"


def test_every_callback_of_the_event_loop_is_known_to_be_contained() -> None:
    found = {}
    for root in ("common", "services"):
        for path in sorted(Path(root).rglob("*.py")):
            names = given(path.read_text())
            if names and path.parts[2] != "app":
                found[str(path)] = names
    assert found == {path: set(names) for path, names in CONTAINED.items()}
