"""What a chain may cost at worst, and how a budget is made smaller until an account can bear it."""

import math
from dataclasses import replace

from policies.base import Limits, Policy
from policies.plan import MAX_TOKENS, Budget, Plan
from policies.signals import Probing

# Delimiters and dropped stops come on top of a chain's budget: this many tokens, and two a Wait.
DELIMITER_TOKENS = 32
LEAST_ANSWER_TOKENS = 16
# The paper's evaluation code cuts only after its last round, so that a Wait is paid for in full.
HARNESS_WAIT_TOKENS = 8


def worst_case(budget: Budget, probing: Probing | None = None, *, done: int = 0) -> int:
    """Tokens of one chain that has thought `done` of them already, its trial answers included.

    One that pauses after a step may end its thinking within it, and answer.
    """
    answer = budget.answer_tokens + _overhead(budget)
    if budget.max_tokens is not None and not budget.compat:
        rest = max(1, budget.max_tokens - done)
    else:
        rest = max(0, budget.most_tokens - budget.answer_tokens - done) + answer
    if budget.step_tokens is not None:
        rest = min(rest, budget.step_tokens + answer)
    return rest + (_trials(budget, probing) * _trial(probing) if probing else 0)


def worst_query(policy: Policy, limits: Limits, room: int) -> int:
    """Tokens of a query at worst, by what its policy declares; trial answers aside."""
    options = policy.options
    budget = Budget.within(options.max_thinking_tokens, answer_tokens=options.answer_tokens)
    return policy.max_chains * worst_case(within_limits(budget, limits, room))


def within_limits(budget: Budget, limits: Limits, room: int) -> Budget:
    """A chain's budget within the query's limits and a context of `room` tokens."""
    cap = room if limits.max_thinking_tokens is None else min(room, limits.max_thinking_tokens)
    budget = budget.capped(cap)
    if limits.max_chain_tokens is None:
        return budget
    return budget.limited(min(limits.max_chain_tokens, MAX_TOKENS))


def fit(
    budget: Budget, probing: Probing | None, left: int, *, done: int = 0
) -> tuple[Budget, Probing | None] | None:
    """Both made smaller, if one chain's worst case is above `left`; None if no answer fits.

    Trial answers may take half of what is left beside the answer; then thinking gives way, and at
    last the answer's reserve.
    """
    if worst_case(budget, probing, done=done) <= left:
        return budget, probing
    if probing:
        spare = max(0, left - worst_case(budget.capped(0)))
        trials = min(_trials(budget, probing), spare // 2 // _trial(probing))
        left -= trials * _trial(probing)
        probing = replace(probing, most=trials) if trials else None
    fitting = _within(budget, left, done)
    return None if fitting is None else (fitting, probing)


def _within(budget: Budget, left: int, done: int) -> Budget | None:
    if worst_case(budget, done=done) <= left:
        return budget
    answer = min(budget.answer_tokens, max(LEAST_ANSWER_TOKENS, left // 4))
    rounds = budget.extensions + 1 if budget.harness_compat else 1
    cap = (done + left - answer - _overhead(budget)) // rounds
    if cap < done or 0 < cap == done:
        return None
    most = budget.max_tokens and min(budget.max_tokens, done + left)
    return replace(budget.capped(cap), answer_tokens=answer, max_tokens=most)


def _overhead(budget: Budget) -> int:
    text = budget.extension_text
    harness = HARNESS_WAIT_TOKENS if text is None else len(text)
    return DELIMITER_TOKENS + budget.extensions * (2 + budget.harness_compat * harness)


def _trials(budget: Budget, probing: Probing) -> int:
    return probing.most_trials(budget.max_thinking_tokens, budget.extensions)


def _trial(probing: Probing) -> int:
    return probing.answer_tokens + DELIMITER_TOKENS


def expected_tokens(
    budget: Budget, chains: int, done: int, *, plan: Plan | None, spent: int, samples: int
) -> int:
    """Tokens that a round will likely take: as planned, or past the plan as samples did so far.

    `done` of a chain's thinking is there already; the query has had so many `samples`, which have
    `spent` so many tokens. Without a forecast it is all that the chains may take.
    """
    most = worst_case(budget, done=done) * chains
    if plan is None or plan.forecast is None:
        return most
    planned = math.ceil(plan.forecast.tokens) - spent
    usual = chains * spent // max(1, samples)
    return max(1, min(most, planned if planned > 0 else usual))
