"""Names that no two things of a stream may share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.schemas.commitment import Fate
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects

SPOOLS = st.builds(
    SpoolSubjects,
    root=st.just("DIMSE"),
    zone=st.just("hospital"),
    kind=st.sampled_from(DestinationKind),
    name=st.text("A.~0", max_size=3),
)
FATES = st.tuples(SPOOLS, st.sampled_from("ab"), st.sampled_from(Fate), st.integers(1, 11))


@given(FATES, FATES)
def test_what_becomes_of_two_objects_or_for_two_destinations_never_has_one_id(
    one: tuple[SpoolSubjects, str, Fate, int], other: tuple[SpoolSubjects, str, Fate, int]
) -> None:
    ids = [spool.fate_id(object_id, fate, number) for spool, object_id, fate, number in (one, other)]
    assert (ids[0] == ids[1]) == (one == other)
