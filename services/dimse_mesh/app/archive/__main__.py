"""`python -m dimse_mesh.app.archive FOLDER PORT CALLBACK_PORT`: prints its port, then a line for each object stored.

The line: SOP instance, transfer syntax, size and SHA-256 of the data set, file name. Every AE that it calls (a C-MOVE's
destination, the receiver of a storage commitment) is expected at CALLBACK_PORT. Ends when its standard input does.
"""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

from pydicom.uid import AllTransferSyntaxes, ExplicitVRLittleEndian
from pynetdicom import AllStoragePresentationContexts, _config, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import time
    ModalityPerformedProcedureStep,
    ModalityPerformedProcedureStepRetrieve,
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from dimse_mesh.app.archive.catalog import Catalog
from dimse_mesh.app.archive.commitment import Commitment
from dimse_mesh.app.archive.queries import Queries
from dimse_mesh.app.archive.steps import ProcedureSteps
from dimse_mesh.app.archive.storage import Storage
from dimse_mesh.app.archive.verbatim import VerbatimEntity

AE_TITLE = "ARCHIVE"
HOST = "127.0.0.1"


def serve(folder: Path, port: int, callback_port: int) -> None:
    """Run until standard input ends."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")  # of pydicom, about values that modalities get wrong
    _config.STORE_SEND_CHUNKED_DATASET = True  # files are sent as they are
    catalog = Catalog()
    entity = VerbatimEntity(AE_TITLE, catalog)
    callback = (HOST, callback_port)
    storage, queries = Storage(folder, catalog), Queries(catalog, callback)
    commitment, steps = Commitment(entity, catalog, callback), ProcedureSteps()
    # The first that the peer proposes too is taken: rather explicit than implicit VR.
    syntaxes = [
        ExplicitVRLittleEndian,
        *(uid for uid in AllTransferSyntaxes if uid != ExplicitVRLittleEndian),
    ]
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), syntaxes, scu_role=True, scp_role=True)
    for sop_class in (
        Verification,
        PatientRootQueryRetrieveInformationModelFind,
        PatientRootQueryRetrieveInformationModelGet,
        PatientRootQueryRetrieveInformationModelMove,
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelGet,
        StudyRootQueryRetrieveInformationModelMove,
        ModalityPerformedProcedureStep,
        ModalityPerformedProcedureStepRetrieve,
        StorageCommitmentPushModel,
    ):
        entity.add_supported_context(sop_class)
    server = entity.start_server(
        (HOST, port),
        block=False,
        evt_handlers=[
            (evt.EVT_C_STORE, storage.store),
            (evt.EVT_C_FIND, queries.find),
            (evt.EVT_C_GET, queries.get),
            (evt.EVT_C_MOVE, queries.move),
            (evt.EVT_N_CREATE, steps.create),
            (evt.EVT_N_SET, steps.modify),
            (evt.EVT_N_GET, steps.get),
            (evt.EVT_N_ACTION, commitment.request),
        ],
    )
    assert server is not None
    assert server.socket is not None
    print(server.socket.getsockname()[1], flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
