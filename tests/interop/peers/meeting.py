"""A client and a target of two makes meet, directly and through the mesh; what came of it is compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydicom.filereader import dcmread

from tests.interop.peers.model import Call, Client, Directory, Outcome, Service, Serving, Stored, Target
from tests.interop.peers.site import Site, Way
from tests.support import dcmtk
from tests.support.files import enhanced_ct, real_files, synthetic, take_apart, write_file
from tests.support.wire import EXPLICIT_LE

STUDY = "1.2.826.0.1.3680043.9.9999.8"
PDU_LENGTHS = ((4096, 131072), (131072, 4096))
"""Maximum lengths of client and target."""
TLS, PDUS = "TLS", "PDU lengths"
Files = dict[str, tuple[Path, ...]]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one operation: the client's outcome, and what arrived where it should."""

    outcome: Outcome
    arrived: Stored = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether the client was content."""
        return self.outcome.good


Results = dict[str, Result]
"""By service, TLS, and PDU lengths."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A client with a target, both ways."""

    client: str
    target: str
    direct: Results
    mesh: Results

    def differences(self) -> list[str]:
        """Describe what came out otherwise through the mesh."""
        return [
            f"{self.client} with {self.target}, {what}:\n  direct {one}\n  mesh   {self.mesh[what]}\n"
            f"{one.outcome.output[-3000:]}\n-- mesh --\n{self.mesh[what].outcome.output[-3000:]}"
            for what, one in self.direct.items()
            if one != self.mesh[what]
        ]


@cache
def objects_of_every_syntax(directory: Path) -> Files:
    """Return a real file of each transfer syntax, and a study of three objects."""
    study = [
        write_file(directory / f"{number}.dcm", synthetic(number, 30_000, study=8)) for number in (1, 2, 3)
    ]
    files: Files = {}
    taken: set[str] = set()
    for syntax, paths in real_files().items():
        for path in sorted(paths, key=lambda path: path.stat().st_size):
            uid = _instance(path)
            if uid and uid not in taken:  # several of them are one image, converted
                files[syntax] = (path,)
                taken.add(uid)
                break
    files[EXPLICIT_LE] = (*files.get(EXPLICIT_LE, ()), *study)
    return files


_NEEDED = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "Rows")


def _instance(path: Path) -> str:
    """Return the SOP instance UID of a file; "" if the file lacks what an archive indexes, or has two UIDs."""
    content = dcmread(path, specific_tags=list(_NEEDED), stop_before_pixels=True)
    uid = take_apart(path).sop_instance
    return uid if all(content.get(name) for name in _NEEDED) and content.SOPInstanceUID == uid else ""


@cache
def large_object(directory: Path) -> Files:
    """Return a file of 2 MB."""
    return {EXPLICIT_LE: (write_file(directory / "large.dcm", enhanced_ct(1, 2 << 20, study=9)),)}


@dataclass(slots=True)
class Meetings:
    """Arranges meetings, one at a time.

    Args:
        directory: for everything that is written.
        pdus: whether to try several PDU lengths, too.
    """

    site: Site
    directory: Path
    pdus: bool = True
    _count: int = 0

    def meet(self, client: Client, target: Target) -> Meeting:
        """Let them meet both ways."""
        direct, mesh = (self._results(client, target, way) for way in Way)
        return Meeting(client.name, target.name, direct, mesh)

    def _fresh(self) -> Path:
        self._count += 1
        path = self.directory / str(self._count)
        path.mkdir(parents=True)
        return path

    def _results(self, client: Client, target: Target, way: Way) -> Results:
        results = self._services(client, target, way)
        common = client.services & target.services
        if client.speaks_tls and target.speaks_tls:
            files = objects_of_every_syntax(self.directory.parent)
            results[TLS] = self._store(client, target, way, {EXPLICIT_LE: files[EXPLICIT_LE]}, tls=True)
        if self.pdus and Service.STORE in common:
            for lengths in PDU_LENGTHS:
                files = large_object(self.directory.parent)
                results[f"{PDUS} {lengths}"] = self._store(client, target, way, files, lengths=lengths)
        return results

    def _services(self, client: Client, target: Target, way: Way) -> Results:
        """Try every service that both have."""
        files = objects_of_every_syntax(self.directory.parent)
        serving = Serving(
            self.site.place.plain, self.site.place.port, self._fresh(), destinations=self.site.destinations()
        )
        results: Results = {}
        with target.serve(serving) as running:
            for service in Service:
                if service not in client.services & target.services:
                    continue
                call = Call(
                    self.site.entry(way, tls=False),
                    self.site.place.plain,
                    self._fresh(),
                    study=STUDY,
                    files=files,
                    destination=self.site.place.viewer(way),
                )
                if service is Service.MOVE:
                    with self._viewer() as viewer:
                        outcome = client.perform(service, call)
                    results[service] = Result(outcome, viewer.stored())
                else:
                    outcome = client.perform(service, call)
                    results[service] = Result(outcome, running.stored() if service is Service.STORE else {})
        return results

    @contextmanager
    def _viewer(self) -> Iterator[Directory]:
        directory = self._fresh() / "viewer"
        child, _ = dcmtk.storescp(
            directory, port=self.site.place.viewer_port, more=("+xa",), env=dcmtk.NO_DELAY
        )
        with child:
            yield Directory(directory)

    def _store(
        self,
        client: Client,
        target: Target,
        way: Way,
        files: Files,
        *,
        tls: bool = False,
        lengths: tuple[int, int] = (16384, 16384),
    ) -> Result:
        title = self.site.place.secured if tls else self.site.place.plain
        certificates = self.site.certificates if tls else None
        client_pdu, target_pdu = lengths
        serving = Serving(title, self.site.place.port, self._fresh(), pdu=target_pdu, tls=certificates)
        with target.serve(serving) as running:
            call = Call(
                self.site.entry(way, tls=tls),
                title,
                self._fresh(),
                pdu=client_pdu,
                tls=certificates,
                files=files,
            )
            return Result(client.perform(Service.STORE, call), running.stored())
