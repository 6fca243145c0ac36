"""Let every peer that is installed meet every other, directly and through the mesh, and print the table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.interop.peers.cast import absent, clients, targets, versions
from tests.interop.peers.meeting import Meeting, Meetings
from tests.interop.peers.site import running_site
from tests.interop.peers.table import table

PAGE = Path("docs/interoperability.md")
BEGIN, END = "<!-- printed by make interop: begin -->", "<!-- printed by make interop: end -->"


def publish(text: str) -> None:
    """Write the table into the page, in the place of the one before."""
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main() -> int:
    """Run; the exit code is 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--publish", action="store_true", help=f"write the table into {PAGE}")
    options = parser.parse_args()
    for name, reason in absent().items():
        print(f"without {name}: {reason}", file=sys.stderr)
    meetings: list[Meeting] = []
    with tempfile.TemporaryDirectory(prefix="dimse-mesh-interop-") as name:
        directory = Path(name)
        with running_site(directory) as site:
            arranged = Meetings(site, directory / "meetings")
            for client in clients():
                for target in targets():
                    meeting = arranged.meet(client, target)
                    meetings.append(meeting)
                    print(f"{client.name} with {target.name}", file=sys.stderr, flush=True)
                    for difference in meeting.differences():
                        print(difference, file=sys.stderr)
    printed = f"{', '.join(versions())}\n\n{table(meetings)}"
    print(printed)
    if options.publish:
        publish(printed)
    return 1 if any(meeting.differences() for meeting in meetings) else 0


if __name__ == "__main__":
    sys.exit(main())
