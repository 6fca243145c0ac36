"""The spool: what a durable route has acknowledged and its destination doesn't have yet, in JetStream.

study       which study an object is of
store       the streams of a source zone
writer      one object in: pieces first, the manifest last
acknowledged  which objects were acknowledged, by name
sharing     pieces that several destinations share
reader      objects out, checked against their digests
passing_on  objects from one spool into another
known       what destinations accept
receipts    what has become of objects that are gone
commitments requests for storage commitment that wait for a report
origins     which zone a study came from
questions   to destinations, for their own storage commitment
inspection  what an operator sees and decides
word        the newest of what is said about it
many        the same done to many objects
"""

from dimse_mesh.spool.acknowledged import AcknowledgedNames, NoteAcknowledged, name_of, naming
from dimse_mesh.spool.commitments import CommitmentStore, PendingCommitment
from dimse_mesh.spool.inspection import Buried, SpoolInspector, SpoolSummary, pause_in
from dimse_mesh.spool.known import Knowledge
from dimse_mesh.spool.many import for_each
from dimse_mesh.spool.origins import Origins
from dimse_mesh.spool.passing_on import facts_of, id_there, pass_on
from dimse_mesh.spool.questions import OpenQuestion, QuestionAnswer, Questions
from dimse_mesh.spool.reader import (
    DamagedObject,
    SpooledObject,
    Unreadable,
    encryption_refusal,
    parse_object,
    read_data_set,
)
from dimse_mesh.spool.receipts import Receipts
from dimse_mesh.spool.sharing import SharedPieces, remove_pieces
from dimse_mesh.spool.store import ensure_streams, spool_config, state_config, until_made
from dimse_mesh.spool.study import study_instance_uid
from dimse_mesh.spool.word import NewestWord
from dimse_mesh.spool.writer import ObjectWriter

__all__ = [
    "AcknowledgedNames",
    "NoteAcknowledged",
    "name_of",
    "naming",
    "Buried",
    "facts_of",
    "for_each",
    "id_there",
    "pass_on",
    "SpoolInspector",
    "SpoolSummary",
    "pause_in",
    "CommitmentStore",
    "DamagedObject",
    "SharedPieces",
    "remove_pieces",
    "QuestionAnswer",
    "Knowledge",
    "NewestWord",
    "ObjectWriter",
    "Origins",
    "OpenQuestion",
    "Questions",
    "PendingCommitment",
    "Receipts",
    "SpooledObject",
    "Unreadable",
    "ensure_streams",
    "encryption_refusal",
    "parse_object",
    "read_data_set",
    "spool_config",
    "state_config",
    "study_instance_uid",
    "until_made",
]
