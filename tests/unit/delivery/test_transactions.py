"""A Transaction UID says which question it was made for, to whoever gets it back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.delivery.confirmation import question_of, transaction_of

IDS = st.integers(min_value=0, max_value=2**128 - 1).map(lambda number: f"{number:032x}")


@given(IDS, st.integers(min_value=0, max_value=2**33))
def test_a_transaction_names_its_question_and_is_a_uid(question_id: str, now: int) -> None:
    transaction = transaction_of(question_id, now=now)
    assert question_of(transaction) == question_id
    assert len(transaction) <= 64
    assert all(part == "0" or part[0] != "0" for part in transaction.split("."))


@given(st.text(max_size=70))
def test_any_other_text_names_none_or_something_of_the_right_form(text: str) -> None:
    found = question_of(text)
    assert found is None or len(found) >= 32


def test_other_peoples_transactions_are_not_ours() -> None:
    for transaction in ("", "1.2.840.10008.1", "2.25", "2.25.", "2.25.x", f"2.25.{10**39}.1", "2.251.3"):
        assert question_of(transaction) is None
