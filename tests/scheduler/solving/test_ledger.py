"""Whatever is opened, reserved and settled: nothing is spent that was not there."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.solving.ledger import Account, Ledger

LIMIT = st.none() | st.integers(0, 1000)
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("open"), LIMIT),
        st.tuples(st.just("reserve"), st.integers(0, 400)),
        st.tuples(st.just("settle"), st.floats(0, 1)),
    ),
    max_size=60,
)


@given(limit=LIMIT, migrations=MOVES, picks=st.randoms(use_true_random=False))
def test_any_sequence_keeps_the_books_straight(
    limit: int | None, migrations: list[tuple[str, Any]], picks: Random
) -> None:
    ledger = Ledger(limit)
    accounts: list[Account] = [ledger.open()]
    rounds: list[tuple[Account, int]] = []
    ever_reserved = 0
    for move, amount in migrations:
        account = picks.choice(accounts)
        if move == "open":
            accounts.append(ledger.open(amount))
        elif move == "reserve":
            if account.left is not None and amount > account.left:
                before = (account.reserved, ledger.reserved)
                with pytest.raises(ValueError, match=str(amount)):
                    account.reserve(amount)
                assert (account.reserved, ledger.reserved) == before
            else:
                account.reserve(amount)
                rounds.append((account, amount))
                ever_reserved += amount
        elif rounds:
            account, reserved = rounds.pop(picks.randrange(len(rounds)))
            account.settle(reserved=reserved, spent=int(reserved * amount))
        books: list[Ledger | Account] = [ledger, *accounts]
        for one in books:
            assert one.reserved >= 0
            assert one.limit is None or one.spent + one.reserved <= one.limit
        assert ledger.reserved == sum(one.reserved for one in accounts)
        assert ledger.spent == sum(one.spent for one in accounts)
        assert ledger.refunded == ever_reserved - ledger.reserved - ledger.spent
        assert ledger.queries == len(accounts)


def test_an_account_is_bounded_by_its_ledger_too() -> None:
    ledger = Ledger(100)
    first, second = ledger.open(80), ledger.open()
    assert (first.left, second.left) == (80, 100)
    first.reserve(60)
    assert (first.left, second.left) == (20, 40)
    first.settle(reserved=60, spent=10)
    assert (first.left, second.left) == (70, 90)
    assert ledger.refunded == 50


def test_without_limits_nothing_bounds_an_account() -> None:
    account = Ledger().open()
    account.reserve(10**9)
    assert account.left is None
