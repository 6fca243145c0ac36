"""What DICOM peers send: PDUs, items, fragments, command sets, and the data sets that we look into."""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from collections.abc import Sequence

from dimse_mesh.app.answer import read_answer
from dimse_mesh.app.identifier import decode_identifier
from dimse_mesh.app.raw_data_set import read_raw
from dimse_mesh.dimse import (
    COMMAND_FLAG,
    LAST_FLAG,
    CommandReceived,
    CommandSet,
    DimseError,
    MessageAssembler,
    Tag,
    echo_request,
    parse_head,
    response_to,
    store_request,
)
from dimse_mesh.dimse.commitment import (
    CommitmentAction,
    CommitmentResult,
    Reference,
    encode_action,
    encode_result,
    read_action,
    read_result,
)
from dimse_mesh.hooks.splitting import Extent, Malformed, Splitter
from dimse_mesh.policy.spelling import NamedBy, NamedTitles, is_ae_title
from dimse_mesh.spool.study import study_instance_uid
from dimse_mesh.storage.header import HeadReader
from dimse_mesh.upper_layer import (
    RELEASE_RQ_PDU,
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    AsynchronousOperationsWindow,
    ContextResult,
    Framer,
    ImplementationClassUID,
    ImplementationVersionName,
    MaximumLength,
    PduType,
    PresentationContextAC,
    PresentationContextRQ,
    RoleSelection,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UnknownItem,
    UpperLayerError,
    UserIdentityAC,
    UserIdentityRQ,
    UserInformation,
    cut_pdvs,
    encode_p_data_header,
    iter_pdvs,
    significant_uid,
)
from tests.fuzz.target import FuzzTarget
from tests.support.pdv import pdv

CAP = 4096
IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
EXPLICIT_BE = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
SYNTAXES = (IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED)
USER_ITEMS = (
    AsynchronousOperationsWindow(1, 1),
    RoleSelection("1.2", 1, 0),
    SOPClassExtendedNegotiation("1.2", b"\1"),
    SOPClassCommonExtendedNegotiation("1.2", "1.3", ("1.4", "1.5")),
    UserIdentityRQ(2, 1, b"name", b"word"),
    UserIdentityAC(b"ok"),
    UnknownItem(0x77, b"\0\1"),
)


def request_pdu() -> bytes:
    """Return an A-ASSOCIATE-RQ with an item of each kind."""
    contexts = [PresentationContextRQ(1, "1.2.840.10008.1.1", (IMPLICIT_LE, EXPLICIT_LE))]
    return AssociateRQ.build(
        called_ae="PACS",
        calling_ae="MODALITY",
        contexts=contexts,
        maximum_length=16384,
        implementation_class_uid="1.2.3",
        implementation_version_name="FUZZ",
        user_items=list(USER_ITEMS),
    ).encode()


def accept_pdu() -> bytes:
    """Return an A-ASSOCIATE-AC."""
    context = PresentationContextAC(1, ContextResult.ACCEPTANCE, IMPLICIT_LE)
    user = UserInformation((MaximumLength(16384), ImplementationClassUID("1.2.3"), *USER_ITEMS))
    items = context.encode() + user.encode()
    head = b"\x02" + request_pdu()[1:74]
    return head[:2] + (68 + len(items)).to_bytes(4, "big") + head[6:74] + items


def _typed(data: bytes) -> tuple[str, bytes]:
    """Return a transfer syntax, by the first byte, and the rest."""
    return SYNTAXES[data[0] % len(SYNTAXES)] if data else IMPLICIT_LE, data[1:]


# --- PDUs


def read_pdus(data: bytes) -> None:
    """Cut a stream at any place into PDUs, and read each as a service does."""
    size, framer, held = 1 + (data[0] if data else 0), Framer(max_length=CAP), 0
    try:
        for at in range(1, len(data), size):
            for kind, body in framer.feed(data[at : at + size]):
                held += len(body)
                with contextlib.suppress(UpperLayerError):
                    read_pdu(kind, body)
            assert framer.pending < CAP + 6
    except UpperLayerError:
        return
    assert held <= len(data)


def read_pdu(kind: int, body: memoryview) -> None:
    """Read a PDU; what was understood must be given back byte for byte."""
    match kind:
        case PduType.ASSOCIATE_RQ:
            use_request(bytes(body))
        case PduType.ASSOCIATE_AC:
            use_accept(bytes(body))
        case PduType.ASSOCIATE_RJ:
            AssociateRJ.decode(body).describe()
        case PduType.ABORT:
            Abort.decode(body).describe()
        case PduType.P_DATA_TF:
            assert sum(len(fragment) + 6 for _, _, fragment in iter_pdvs(body)) == len(body)
        case _:
            pass  # nothing is read of an A-RELEASE PDU


def use_request(body: bytes) -> None:
    """Read an A-ASSOCIATE-RQ and ask it everything."""
    request = AssociateRQ.decode(body)
    assert request.encode()[6:] == body
    assert len(request.called_ae) <= 16
    _ = request.operations_window, request.application_context, request.maximum_length, repr(request)
    for context in request.presentation_contexts:
        _ = [significant_uid(uid) for uid in (context.abstract_syntax, *context.transfer_syntaxes)]
    for kind in (RoleSelection, UserIdentityRQ, SOPClassExtendedNegotiation, ImplementationVersionName):
        request.user_items(kind)
    changed = request.replace_own(
        maximum_length=1024, implementation_class_uid="1.2", implementation_version_name="X"
    )
    AssociateRQ.decode(changed.encode()[6:])


def use_accept(body: bytes) -> None:
    """Read an A-ASSOCIATE-AC and ask it everything."""
    accept = AssociateAC.decode(body)
    assert accept.encode()[6:] == body
    _ = accept.accepted_context_ids, accept.presentation_contexts, accept.maximum_length, repr(accept)
    _ = accept.operations_window, accept.user_items(UserIdentityAC)


def associate_request(data: bytes) -> None:
    """Read the body of an A-ASSOCIATE-RQ."""
    with contextlib.suppress(UpperLayerError):
        use_request(data)


def associate_accept(data: bytes) -> None:
    """Read the body of an A-ASSOCIATE-AC."""
    with contextlib.suppress(UpperLayerError):
        use_accept(data)


def small_pdus(data: bytes) -> None:
    """Read the bodies of A-ASSOCIATE-RJ and A-ABORT."""
    for kind in (AssociateRJ, Abort):
        with contextlib.suppress(UpperLayerError):
            kind.decode(data).describe()


def presentation_data(data: bytes) -> None:
    """Cut a P-DATA-TF into PDVs, all at once and some at a time."""
    most, body = 1 + (data[0] % 8 if data else 0), memoryview(data)[1:]
    cut: list[bytes] = []
    try:
        whole = iter_pdvs(body)
        at = 0
        while at < len(body):
            some, end = cut_pdvs(body[at:], most)
            assert 0 < len(some) <= most
            cut += [bytes(fragment) for _, _, fragment in some]
            at += end
    except UpperLayerError:
        return
    assert cut == [bytes(fragment) for _, _, fragment in whole]


# --- messages


def assemble(data: bytes) -> None:
    """Put the PDVs of a P-DATA-TF together to messages."""
    assembler = MessageAssembler(max_command_length=512)
    with contextlib.suppress(UpperLayerError, DimseError):
        for context_id, flags, fragment in iter_pdvs(data):
            event = assembler.pdv(context_id, flags, fragment)
            if isinstance(event, CommandReceived):
                use_command(event.command)


def command_set(data: bytes) -> None:
    """Read a command set."""
    with contextlib.suppress(DimseError):
        use_command(data)


def use_command(data: bytes) -> None:
    """Read a command set, and touch everything that a handler may touch."""
    head = parse_head(data)
    command = CommandSet.parse(data)
    assert command.encode() == data
    assert head.command_field == command.command_field
    for name in dir(command):
        if not name.startswith("_"):
            getattr(command, name)
    repr(command)
    command.replace({Tag.MessageID: 1})
    with contextlib.suppress(ValueError):
        response_to(command, 0x0110, error_comment="no")


# --- data sets


def commitment(data: bytes) -> None:
    """Read a request for storage commitment, and a report; what was read can be written, and read again."""
    syntax = (IMPLICIT_LE, EXPLICIT_LE)[data[0] % 2] if data else IMPLICIT_LE
    with contextlib.suppress(ValueError):
        action = read_action(data[1:], syntax)
        assert read_action(encode_action(action, syntax), syntax) == action
    with contextlib.suppress(ValueError):
        result = read_result(data[1:], syntax)
        assert read_result(encode_result(result, syntax), syntax) == result


def study(data: bytes) -> None:
    """Find the Study Instance UID in a data set's first bytes."""
    syntax, head = _typed(data)
    assert len(study_instance_uid(head, syntax)) <= len(head)


def head_elements(data: bytes) -> None:
    """Find elements in a data set's first bytes, piece by piece."""
    syntax, head = _typed(data)
    reader = HeadReader(frozenset((0x0008_0018, 0x0010_0020, 0x0020_000D)), syntax)
    for at in range(0, len(head), 7):
        reader.feed(head[at : at + 7])
    reader.finish()
    assert sum(map(len, reader.values.values())) <= 1 << 20


def split_pixels(data: bytes) -> None:
    """Part pixel data from the rest of a data set; whatever the pieces, the same comes out."""
    syntax, whole = _typed(data)
    found: list[Extent | None] = []
    for size in (1, 64, len(whole) or 1):
        splitter = Splitter(syntax, most=2048)
        try:
            for at in range(0, len(whole), size):
                splitter.feed(whole[at : at + size])
            found.append(splitter.end())
        except Malformed:
            found.append(None)
    assert found[0] == found[1] == found[2]


def query_answer(data: bytes) -> None:
    """Read the identifier of an answer, and show it as text and as DICOM JSON."""
    syntax = (IMPLICIT_LE, EXPLICIT_LE)[data[0] % 2] if data else IMPLICIT_LE
    raw = read_raw(data[1:], syntax)
    answer = read_answer(data[1:], syntax)
    json.dumps(answer.to_json(), allow_nan=False)
    for tag in raw.elements:
        assert "\x1b" not in answer.text((tag,))  # type: ignore[arg-type] # a tag is a number


def identifier(data: bytes) -> None:
    """Decode an identifier with pydicom."""
    syntax = (IMPLICIT_LE, EXPLICIT_LE)[data[0] % 2] if data else IMPLICIT_LE
    with contextlib.suppress(ValueError):
        decode_identifier(data[1:], syntax)


def titles(data: bytes) -> None:
    """Judge AE titles."""
    text = data.decode("latin-1")
    if is_ae_title(text):
        assert text.isascii()
    named = NamedTitles([NamedBy("READER", "routes[0]"), NamedBy("PACS*", "routes[1]")])
    for title in (text, text.swapcase()):
        found = named.resembled_by(title)
        assert found is None or title.casefold().startswith(found.pattern.rstrip("*").casefold())


# --- where fuzzing begins


def _pdus() -> Sequence[bytes]:
    pdus = [request_pdu(), accept_pdu(), AssociateRJ(1, 1, 7).encode(), Abort(2, 1).encode(), RELEASE_RQ_PDU]
    pdus.append(encode_p_data_header(1, 3, 100) + bytes(100))
    return [bytes((size,)) + pdu for pdu in pdus for size in (5, 255)] + [b"\x40" + b"".join(pdus)]


def store() -> bytes:
    """Return the command set of a C-STORE-RQ."""
    request = store_request(5, sop_class="1.2.840.10008.5.1.4.1.1.2", sop_instance="1.2.3.4")
    more: dict[int, bytes | int | str | None] = {
        Tag.MoveOriginatorApplicationEntityTitle: "MODALITY",
        Tag.MoveOriginatorMessageID: 4,
    }
    return request.replace(more).encode()


def _pdvs() -> Sequence[bytes]:
    half = len(store()) // 2
    parts = [(COMMAND_FLAG, store()[:half]), (COMMAND_FLAG | LAST_FLAG, store()[half:]), (LAST_FLAG, b"data")]
    return [
        b"".join(pdv(1, flags, part) for flags, part in parts),
        pdv(3, 3, echo_request(1).encode()),
    ]


def _element(number: tuple[int, int], vr: bytes, value: bytes, order: str = "<") -> bytes:
    if vr in {b"SQ", b"OW", b"UN", b"UT"}:
        return struct.pack(f"{order}HH2sHI", *number, vr, 0, len(value)) + value
    return struct.pack(f"{order}HH2sH", *number, vr, len(value)) + value


def explicit_data_set() -> bytes:
    """Return a data set with a sequence, text in a character set, and pixel data."""
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + _element((8, 0x1150), b"UI", b"1.2\0")
    ends = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    open_sequence = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + item + ends
    return b"".join(
        (
            _element((8, 5), b"CS", b"ISO_IR 100"),
            _element((8, 0x18), b"UI", b"1.2.3\0"),
            open_sequence,
            _element((0x10, 0x10), b"PN", b"Doe^J\xe9 "),
            _element((0x10, 0x20), b"LO", b"4711"),
            _element((0x20, 0xD), b"UI", b"1.2.3.4\0"),
            _element((0x20, 0x13), b"IS", b"12"),
            _element((0x28, 0x10), b"US", b"\2\0"),
            _element((0x7FE0, 0x10), b"OW", bytes(8)),
        )
    )


def implicit_data_set() -> bytes:
    """Return elements without value representations, a sequence among them."""
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 12) + struct.pack("<HHI", 8, 0x1150, 4) + b"1.2\0"
    parts = [
        ((8, 0x18), b"1.2.3\0"),
        ((8, 0x1140), item),
        ((0x10, 0x20), b"4711"),
        ((0x20, 0xD), b"1.2.3.4\0"),
    ]
    return b"".join(struct.pack("<HHI", *tag, len(value)) + value for tag, value in parts)


def _data_sets() -> Sequence[bytes]:
    deflate = zlib.compressobj(wbits=-15)
    return [
        b"\0" + implicit_data_set(),
        b"\1" + explicit_data_set(),
        b"\2" + _element((8, 0x18), b"UI", b"1.2.3\0", ">") + _element((0x20, 0xD), b"UI", b"1.2.3.4\0", ">"),
        b"\3" + deflate.compress(explicit_data_set()) + deflate.flush(),
    ]


def _commitments() -> Sequence[bytes]:
    references = (Reference("1.2", "1.2.3"), Reference("1.3", "1.3.4"))
    action = CommitmentAction("1.9", references)
    result = CommitmentResult("1.9", references[:1], ((references[1], 0x0112),))
    return [
        bytes((at,)) + encoded
        for at, syntax in enumerate((IMPLICIT_LE, EXPLICIT_LE))
        for encoded in (encode_action(action, syntax), encode_result(result, syntax))
    ]


TARGETS = (
    FuzzTarget("pdu-stream", "PDUs of a connection, cut at any place", read_pdus, _pdus),
    FuzzTarget(
        "associate-rq", "A-ASSOCIATE-RQ with all items", associate_request, lambda: [request_pdu()[6:]]
    ),
    FuzzTarget("associate-ac", "A-ASSOCIATE-AC with all items", associate_accept, lambda: [accept_pdu()[6:]]),
    FuzzTarget("reject-abort", "A-ASSOCIATE-RJ, A-ABORT", small_pdus, lambda: [b"\0\1\1\7", b"\0\0\2\1"]),
    FuzzTarget("p-data", "PDVs of a P-DATA-TF", presentation_data, lambda: [b"\1" + one for one in _pdvs()]),
    FuzzTarget("messages", "messages of PDVs", assemble, _pdvs),
    FuzzTarget("command-set", "command sets", command_set, lambda: [store(), echo_request(1).encode()]),
    FuzzTarget("commitment", "storage commitment: requests and reports", commitment, _commitments),
    FuzzTarget("study", "the study of a data set", study, _data_sets),
    FuzzTarget("head-elements", "elements of a data set's first bytes", head_elements, _data_sets),
    FuzzTarget("split-pixels", "pixel data apart from the rest", split_pixels, _data_sets),
    FuzzTarget("query-answer", "answers of queries, as text and DICOM JSON", query_answer, _data_sets),
    FuzzTarget("identifier", "identifiers of queries", identifier, _data_sets),
    FuzzTarget("ae-title", "AE titles", titles, lambda: [b"PACS", b"reader", b"A\\B", b"\x1b[2J"]),
)
