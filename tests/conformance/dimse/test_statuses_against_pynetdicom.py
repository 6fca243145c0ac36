"""Categories of all 65536 statuses against pynetdicom's table."""

from __future__ import annotations

from pynetdicom import status as oracle

from dimse_mesh.dimse import Status, StatusCategory, category


def test_category_is_the_oracles_wherever_it_has_one() -> None:
    for code in range(0x10000):
        expected = oracle.code_to_category(code)
        if expected != oracle.STATUS_UNKNOWN:
            assert category(code) == expected.lower(), f"0x{code:04X}"
        else:
            assert category(code) is StatusCategory.FAILURE, f"0x{code:04X}"


def test_every_general_status_has_a_name() -> None:
    assert set(oracle.GENERAL_STATUS) <= {int(status) for status in Status}


def test_service_class_statuses_mean_what_the_oracle_says() -> None:
    tables = [
        (oracle.STORAGE_SERVICE_CLASS_STATUS, "STORAGE_"),
        (oracle.QR_FIND_SERVICE_CLASS_STATUS, "FIND_"),
        (oracle.QR_MOVE_SERVICE_CLASS_STATUS, "RETRIEVE_"),
        (oracle.QR_GET_SERVICE_CLASS_STATUS, "RETRIEVE_"),
    ]
    for table, prefix in tables:
        for name, status in Status.__members__.items():
            if name.startswith(prefix):
                assert category(status) == table[status][0].lower(), name
