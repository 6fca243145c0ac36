"""Wherever an error of ours is contained, a test plants one and shows that nothing else suffers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ENDED = "by an error of our own"
"""What is logged of an association that such an error has ended, where its place is told in another form."""


def contained() -> Iterator[tuple[str, str]]:
    """Yield where an error is reported, and the pattern of what is logged of it."""
    for root in ("common", "services"):
        for path in sorted(Path(root).rglob("*.py")):
            text = path.read_text()
            reports = re.search(r"from dimse_mesh\.mesh\.errors import [^(\n]*\breport\b", text)
            for node in ast.walk(ast.parse(text)):
                match node:
                    case ast.Call(func=ast.Name(id="report"), args=[who, _]) if reports:
                        yield f"{path}:{node.lineno}", rf"{_pattern(who)} raised"
                    case ast.Constant(value=str(line)) if ENDED in line and "%s" in line:
                        yield f"{path}:{node.lineno}", re.escape(line.partition(":")[0])


def _pattern(who: ast.expr) -> str:
    match who:
        case ast.Constant(value=str(text)):
            return re.escape(text)
        case ast.JoinedStr(values=parts):
            return "".join(_pattern(part) if isinstance(part, ast.Constant) else "[^ ]+" for part in parts)
    raise AssertionError(ast.unparse(who))


def test_every_error_that_is_contained_is_planted_by_a_test() -> None:
    own = Path(__file__).resolve()
    tests = [path.read_text() for path in Path("tests").rglob("test_*.py") if path.resolve() != own]
    sites = list(contained())
    assert len(sites) >= 20
    missing = {
        place: pattern for place, pattern in sites if not any(re.search(pattern, text) for text in tests)
    }
    assert missing == {}
