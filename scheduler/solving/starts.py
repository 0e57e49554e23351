"""Where the chains of a decision begin, and how many of them an account can bear."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from policies.base import Branch, Draw, Extend, Limits
from policies.plan import Budget
from policies.signals import Probing
from scheduler.solving.token_limits import fit, within_limits, worst_case
from workers.sample import Sample


class Start(NamedTuple):
    """A chain by its number, and whose thinking it goes on from; None: it begins at the prompt."""

    chain: int
    parent: Sample | None = None


class AffordableRound(NamedTuple):
    """What can be dispatched, and the tokens to reserve for it."""

    starts: list[Start]
    budget: Budget
    probing: Probing | None
    reserved: int


def starts(
    decision: Draw | Extend | Branch, numbers: Sequence[int], finished: Mapping[int, Sample]
) -> list[Start]:
    """The chains that a decision asks for, as far as there are `numbers` for new ones.

    `finished` are the last samples of chains that can be gone on with. Raises ValueError for a
    chain that is not among them.
    """
    match decision:
        case Draw():
            return [Start(number) for number in numbers[: decision.samples]]
        case Extend(chain=chain):
            return [Start(chain, finished[chain])]
    parents = [chain for chain, width in decision.widths for _ in range(width)]
    for chain in parents:
        if chain not in finished or finished[chain].stop_cause != "paused":
            raise ValueError(f"chain {chain} cannot be branched from: it has not paused")
    return [Start(*each) for each in zip(numbers, map(finished.__getitem__, parents), strict=False)]


def affordable(
    asked: list[Start],
    budget: Budget,
    probing: Probing | None,
    left: int | None,
    spare: int | None = None,
    *,
    conclude: bool = False,
) -> AffordableRound | None:
    """The first chains whose worst cases `left` can hold; if it holds none, one made smaller.

    All but the first must fit into `spare`, too, where there is less of that.

    Chains that `conclude` only answer. None when not even an answer fits, or nothing was asked.
    """
    if not asked:
        return None
    done = [_done(start, budget, conclude=conclude) for start in asked]
    costs = [worst_case(budget, probing, done=each) for each in done]
    kept = len(asked)
    if left is not None:
        sums, rest = list(accumulate(costs)), left if spare is None else min(left, spare)
        kept = int(sums[0] <= left) + sum(sum_ <= rest for sum_ in sums[1:])
    if kept:
        return AffordableRound(asked[:kept], budget, probing, sum(costs[:kept]))
    assert left is not None, "an unlimited account holds everything"
    fitting = fit(budget, probing, left, done=done[0])
    if fitting is None:
        return None
    return AffordableRound(asked[:1], *fitting, worst_case(*fitting, done=done[0]))


def worst_round(decision: Draw | Extend | Branch, limits: Limits, room: int) -> int:
    """Tokens of a round at worst, within the query's own limits."""
    budget = within_limits(decision.budget, limits, room)
    match decision:
        case Draw(samples=chains):
            pass
        case Branch(widths=widths):
            chains = sum(width for _, width in widths)
        case _:
            chains = 1
    return worst_case(budget, decision.probing) * chains


def _done(start: Start, budget: Budget, *, conclude: bool) -> int:
    if conclude:
        return budget.max_thinking_tokens
    return start.parent.thinking_tokens if start.parent else 0
