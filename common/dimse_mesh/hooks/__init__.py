"""Hooks: what is changed in an object of a durable route before its destination gets it.

splitting      the pixel data apart from the rest, which is all that hooks are given
runner         hooks of one object, in a process of their own
worker         that process
chain          the hooks of a route, one after the other
paths          attributes by keyword, tag or private creator, in sequences too
morphing       set, remove, copy, map, hash
pseudonyms     keyed hashes: values and UIDs that nobody without the key can undo
deidentifying  the profile of PS3.15 Annex E
profile        its table of actions
"""

from dimse_mesh.hooks.errors import HookFailed, HookRefusal
from dimse_mesh.hooks.runner import HookResult, HookRunner
from dimse_mesh.hooks.splitting import Extent, Malformed, split

__all__ = ["Extent", "HookFailed", "HookRefusal", "HookResult", "HookRunner", "Malformed", "split"]
