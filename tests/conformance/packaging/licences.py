"""Write docs/licences.md from what the installed packages say of themselves.

python -m tests.conformance.packaging.licences
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

PAGE = Path("docs/licences.md")
LOCKS = {
    "runtime": "the services",
    "operator": "the image: with the operator, and places in buckets",
    "demo": "`make demo`: with a nats-server and the commands for DICOM",
}
"""What is shipped or installed for use, without what developers need."""
ALLOWED = frozenset(
    (
        *("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0"),
        "MPL-2.0",  # of files that nobody has changed: asks for nothing of a program that uses them
    )
)
_SPDX = {
    "apache 2 license": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "mit license": "MIT",
    "3-clause bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
_HEAD = """# Licences of what is installed with dimse-mesh

dimse-mesh itself is under the [Apache License 2.0](../LICENSE). The locks in `requirements/` name every package, with
the hash of every file. What each package says of its licence:

"""


def packages_of(lock: str) -> set[str]:
    """Return the names of the packages of a lock."""
    names = re.findall(r"^([A-Za-z0-9_.-]+)==", Path(f"requirements/{lock}.lock").read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def licence_of(package: str) -> str | None:
    """Return the licence of a package as SPDX spells it; None: it isn't installed on this system."""
    try:
        found = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return None
    if "License-Expression" in found:
        return str(found["License-Expression"])
    kinds = [
        each.rpartition(" :: ")[2]
        for each in found.get_all("Classifier") or ()
        if each.startswith("License :: OSI Approved :: ")
    ]
    named = kinds or [str(found["License"]).partition("\n")[0] if "License" in found else "unknown"]
    return " OR ".join(sorted({_SPDX.get(name.lower(), name) for name in named}))


def is_allowed(licence: str) -> bool:
    """Tell whether all of a licence, or one of its alternatives, is one that we ship."""
    return any(
        all(part.strip("() ") in ALLOWED for part in choice.split(" AND "))
        for choice in licence.split(" OR ")
    )


def page() -> str:
    """Return the page."""
    return _HEAD + "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    members = {lock: packages_of(lock) for lock in LOCKS}
    yield "| package | licence | in |"
    yield "|---|---|---|"
    for package in sorted(set.union(*members.values())):
        licence = licence_of(package)
        if licence is not None:  # colorama is for Windows alone
            locks = ", ".join(lock for lock, packages in members.items() if package in packages)
            yield f"| {package} | {licence} | {locks} |"
    yield ""
    for lock, what in LOCKS.items():
        yield f"- {lock}: {what}"


if __name__ == "__main__":
    PAGE.write_text(page())
