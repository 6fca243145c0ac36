"""What a command does when it fails: a line on standard error and an exit code, never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from dimse_mesh.app.printable import printable

FAILED = 1
MISCONFIGURED = 2


@contextmanager
def failures() -> Iterator[None]:
    """Turn failures into lines on standard error and an exit code."""
    from dimse_mesh.runtime.settings_errors import ConfigurationError

    try:
        yield
    except ConfigurationError as error:
        leave(error.problems, MISCONFIGURED)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except ModuleNotFoundError:
        raise  # the command line says which extra is missing
    except Exception as error:  # noqa: BLE001 - the edge: a line and a code, never a traceback
        from dimse_mesh.runtime.process import explain

        why = explain(error)
        if why is None:
            from dimse_mesh.runtime.logging import described

            why = f"an error of dimse-mesh's own, please report it: {described(error)}"
        leave([why], FAILED)


def leave(lines: list[str], code: int) -> NoReturn:
    """Print the lines on standard error and end with that exit code."""
    for line in lines:
        print(printable(line), file=sys.stderr)
    raise SystemExit(code) from None
