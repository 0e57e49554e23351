"""How much thinking fits into a bound on all tokens of a chain."""

from policies.plan import Budget


def thinking_within(budget: Budget, closing: int, dropped: int) -> int | None:
    """Thinking tokens that `max_tokens` allows; None without it.

    The longest `closing`, the answer's reserve and what was `dropped` count too. Where no answer
    fits behind a closing, there will be none, and all is for thinking.
    """
    if budget.max_tokens is None:
        return None
    left = budget.max_tokens - dropped
    if budget.max_tokens > closing:
        left -= closing + min(budget.answer_tokens, budget.max_tokens - closing)
    return max(0, left)
