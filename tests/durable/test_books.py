"""The books see loss, damage, disorder and repetition; else a soak would prove nothing."""

from __future__ import annotations

import pytest

from tests.durable.books import Books, digest

CT = "CT1"


@pytest.fixture
def books() -> Books:
    """Books of a client that was told of objects 1, 2 and 3 that they are safe."""
    made = Books()
    for uid in ("1", "2", "3", "4"):
        made.send(uid, uid.encode())
    for uid in ("1", "2", "3"):
        made.acknowledge(CT, uid)
    return made


def arrive(books: Books, *instances: str) -> None:
    """Let these arrive undamaged."""
    for uid in instances:
        books.arrive(CT, uid, digest(uid.encode()))


def test_repetitions_and_what_was_never_acknowledged_are_no_harm(books: Books) -> None:
    arrive(books, "1", "2", "1", "2", "3", "4")
    balance = books.balance()
    balance.check()
    assert (balance.acknowledged, balance.again) == (3, 2)


def test_loss(books: Books) -> None:
    arrive(books, "1", "3")
    assert books.balance().lost == ["2"]
    with pytest.raises(AssertionError, match="1 lost"):
        books.balance().check()


def test_damage_of_a_repetition(books: Books) -> None:
    arrive(books, "1", "2", "3")
    books.arrive(CT, "2", digest(b"other"))
    assert books.balance().damaged == ["2"]
    with pytest.raises(AssertionError, match="1 damaged"):
        books.balance().check()


def test_disorder(books: Books) -> None:
    arrive(books, "1", "3", "2")
    with pytest.raises(AssertionError, match="out of order"):
        books.balance().check()


def test_what_arrives_under_another_title_is_lost(books: Books) -> None:
    for uid in ("1", "2", "3"):
        books.arrive("MR1", uid, digest(uid.encode()))
    assert books.balance().lost == ["1", "2", "3"]
