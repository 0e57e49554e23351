"""A budget and its trial answers are made smaller until an account can bear them."""

from hypothesis import given
from hypothesis import strategies as st

from policies.plan import Budget
from policies.signals import Probing
from scheduler.solving.token_limits import DELIMITER_TOKENS, LEAST_ANSWER_TOKENS, fit, worst_case

BUDGET = Budget(100, answer_tokens=60)
PLAIN = 100 + 60 + DELIMITER_TOKENS


def test_the_worst_case_has_every_part() -> None:
    assert worst_case(BUDGET) == PLAIN
    assert worst_case(BUDGET, done=70) == PLAIN - 70
    assert worst_case(BUDGET, Probing(every=40, answer_tokens=8)) == PLAIN + 2 * (
        8 + DELIMITER_TOKENS
    )
    three = Budget(100, extensions=3, answer_tokens=60)
    assert worst_case(three) == PLAIN + 3 * 2
    harness = Budget(100, 0, 3, "Hmm,", 60, harness_compat=True)
    assert worst_case(harness) == PLAIN + 3 * (100 + 2 + 4)


def test_what_fits_is_left_alone() -> None:
    probing = Probing(every=50)
    assert fit(BUDGET, probing, worst_case(BUDGET, probing)) == (BUDGET, probing)


def test_trial_answers_may_take_half_of_what_is_left() -> None:
    cost = 8 + DELIMITER_TOKENS
    left = 10 * cost + 128 + DELIMITER_TOKENS
    fitting = fit(Budget(5000), Probing(every=10, answer_tokens=8), left)
    assert fitting is not None
    budget, probing = fitting
    assert probing == Probing(every=10, answer_tokens=8, most=5)
    assert budget.max_thinking_tokens > cost


def test_where_no_trial_fits_there_is_none() -> None:
    fitting = fit(BUDGET, Probing(paragraphs=True), 60)
    assert fitting is not None
    assert fitting[1] is None


BUDGETS = st.builds(
    lambda most, least, extensions, answer, harness: Budget(
        most, min(least, most - 1), extensions, None, answer, harness_compat=harness
    ),
    st.integers(1, 500),
    st.integers(0, 500),
    st.integers(0, 4),
    st.integers(1, 200),
    st.booleans(),
)
PROBINGS = st.none() | st.builds(
    lambda every, paragraphs, answer, most: Probing(
        every=every, paragraphs=paragraphs, extensions=True, answer_tokens=answer, most=most
    ),
    st.none() | st.integers(1, 100),
    st.booleans(),
    st.integers(1, 40),
    st.integers(1, 64),
)


@given(BUDGETS, PROBINGS, st.integers(0, 3000), st.integers(0, 400))
def test_what_was_made_to_fit_fits_and_no_part_has_grown(
    budget: Budget, probing: Probing | None, left: int, done: int
) -> None:
    fitting = fit(budget, probing, left, done=done)
    if fitting is None:
        return
    smaller, trials = fitting
    assert worst_case(smaller, trials, done=done) <= left
    assert smaller.max_thinking_tokens <= budget.max_thinking_tokens
    assert smaller.min_thinking_tokens <= budget.min_thinking_tokens
    assert smaller.answer_tokens <= budget.answer_tokens
    assert trials is None or (probing is not None and trials.most <= probing.most)


@given(BUDGETS, PROBINGS, st.integers(0, 300))
def test_only_where_no_answer_fits_nothing_does(
    budget: Budget, probing: Probing | None, left: int
) -> None:
    if fit(budget, probing, left) is None:
        overhead = worst_case(budget.capped(0)) - budget.answer_tokens + 10 * budget.extensions
        assert left < overhead + 2 * LEAST_ANSWER_TOKENS


def test_an_extension_must_add_a_token() -> None:
    left = DELIMITER_TOKENS + LEAST_ANSWER_TOKENS
    assert fit(BUDGET, None, left, done=70) is None
    fitting = fit(BUDGET, None, left + 1, done=70)
    assert fitting is not None
    assert fitting[0].max_thinking_tokens == 71
