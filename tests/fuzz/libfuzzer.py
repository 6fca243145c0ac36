"""One target under Atheris: `python -m tests.fuzz.libfuzzer TARGET [options of libFuzzer] [folders of a corpus]`.

Atheris gives libFuzzer the coverage of our own code, so that inputs that reach something new are kept and changed on.
"""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    atheris = importlib.import_module("atheris")  # of the group `fuzz` alone, not of every developer's
    with atheris.instrument_imports(include=["dimse_mesh"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
