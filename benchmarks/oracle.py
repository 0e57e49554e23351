"""What `priced` loses against an oracle that knows the population, from a cold start.

    python -m benchmarks.oracle [--seeds N] [--queries N] [--quick]

Questions are those of benchmarks/population.py, whose chains are all known beforehand. The oracle
has the same ways to spend: "Wait"s, votes, caps. Its rules come by backward induction from so many
questions of each class, with every answer known, that it need not guess; then it is played on the
same questions as `priced`, which learns in a curve store and is told a fifth of the right answers.
Regret is the value lost per query, in points of accuracy: accuracy less the price of the tokens.

Then all classes change, and a goal is held: tokens of a query, or the share of right answers.
Intervals are of the mean over queries. The last line is JSON: every goal, and whether it is met.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

import click
import numpy as np

from benchmarks.frontier import Estimate, Floats, Goal, figure
from benchmarks.goals import report
from benchmarks.population import ANSWER_TOKENS, SHAPES, SimulatedQuestion, question, solve
from policies.curves.chance import chance_right
from policies.curves.extension_counts import states
from policies.curves.length_curve import CAPS
from policies.price import Price
from policies.priced import Priced
from policies.tally import Tally
from scheduler.curves.records import ObservationRecord
from scheduler.curves.store import CurveStore
from scheduler.solving.pricing import Pricing

PRICES = (1e-4, 3e-4, 1e-3)
TOKENS, ACCURACY = 250.0, 0.85
"""Goals that the price is to hold."""
EXTENSIONS, VOTES = 5, 16
LABELLED = 0.2
MOST_REGRET, MOST_DRIFT, MOST_OFF = 1.0, 0.02, 1.0
"""Points of regret; share of tokens off; points of accuracy off."""
NEW = dict(zip(SHAPES, [*SHAPES][2:] + [*SHAPES][:2], strict=True))
"""What every class becomes when all change."""


class Step(NamedTuple):
    """One answer on a way to spend; `tokens` is what all up to here has cost."""

    state: Hashable
    right: bool
    tokens: int


Path = Sequence[Step]


def paths(asked: SimulatedQuestion) -> dict[str, Path]:
    """By way to spend: all that it could come to."""
    greedy = asked.greedy[: EXTENSIONS + 1]
    first, votes = greedy[0], [Tally(asked.sampled[:n]) for n in range(1, VOTES + 1)]
    ways: dict[str, Path] = {
        "extensions": [
            Step(
                state,
                asked.right(end.answer),
                end.thinking_tokens + ANSWER_TOKENS * (extensions + 1),
            )
            for extensions, (state, end) in enumerate(
                zip(states([end.answer for end in greedy]), greedy, strict=True)
            )
        ],
        "votes": [Step(vote.standing, asked.right(vote.leader), vote.tokens) for vote in votes],
    }
    for cap in CAPS:
        is_cut = first.thinking_tokens > cap
        answer = asked.guess if is_cut else first.answer
        tokens = min(cap, first.thinking_tokens) + ANSWER_TOKENS
        ways[f"cap {cap}"] = [Step(0, asked.right(answer), tokens)]
    return ways


class Rule(NamedTuple):
    """The states of one way in which going on pays, and what that is worth on average."""

    way: str
    goes_on: frozenset[Hashable]
    value: float

    def play(self, path: Path) -> Step:
        return next((step for step in path if step.state not in self.goes_on), path[-1])


def best_rule(known: Sequence[Mapping[str, Path]], price: float) -> Rule:
    return max((_rule(way, [one[way] for one in known], price) for way in known[0]), key=_value)


def _value(rule: Rule) -> float:
    return rule.value


def _rule(way: str, walked: Sequence[Path], price: float) -> Rule:
    """Backward induction: what each state is worth is the mean over the paths that came by it."""
    worth = [path[-1].right - price * path[-1].tokens for path in walked]
    goes_on = set()
    for depth in reversed(range(len(walked[0]))):
        by_state = defaultdict(list)
        for place, path in enumerate(walked):
            by_state[path[depth].state].append(place)
        for state, places in by_state.items():
            stops = [walked[p][depth].right - price * walked[p][depth].tokens for p in places]
            if depth + 1 < len(walked[0]) and sum(worth[p] for p in places) > sum(stops):
                goes_on.add(state)
                continue
            for place, value in zip(places, stops, strict=True):
                worth[place] = value
    return Rule(way, frozenset(goes_on), sum(worth) / len(worth))


class Oracle:
    """Best rules by shape, from questions of its own."""

    def __init__(self, questions: int) -> None:
        rng = Random("oracle")
        self._known = {
            shape: [paths(question(shape, n, rng, samples=VOTES)) for n in range(questions)]
            for shape in SHAPES
        }

    def rules(self, price: float) -> dict[str, Rule]:
        return {shape: best_rule(known, price) for shape, known in self._known.items()}


class OracleResult(NamedTuple):
    asked: SimulatedQuestion
    shape: str
    right: bool
    tokens: int


class PricedServer:
    """`priced` on a curve store, with a price that may be steered."""

    def __init__(self, price: Price, seed: int) -> None:
        self._pricing, self._rng, self._book = (
            Pricing(price),
            Random(f"server {seed}"),
            CurveStore(),
        )

    def answer(self, shape: str, asked: SimulatedQuestion) -> OracleResult:
        name, price = asked.query.query_class, self._pricing.now()
        curve, labelled = self._book.curve("m", name), self._rng.random() < LABELLED
        policy = Priced(price, max_extensions=EXTENSIONS)
        outcome, seen = solve(policy, asked, self._rng, curve=curve, labelled=labelled)
        right = None
        if labelled:
            right = outcome.right
            answers = {vote.answer for vote in seen.history if vote.answer is not None}
            seen = replace(seen, right={answer: asked.right(answer) for answer in answers})
        self._book.observe(ObservationRecord("m", seen, price))
        chance = chance_right(curve, seen.plan, Tally(seen.history))
        self._pricing.settle(outcome.tokens, predicted=chance, right=right)
        return OracleResult(asked, shape, outcome.right, outcome.tokens)


def stream(
    seed: int, queries: int, shapes: Mapping[str, str] | None = None
) -> Iterator[tuple[str, SimulatedQuestion]]:
    """Questions of all classes in random order; `shapes` says what each class is like."""
    rng = Random(f"stream {seed} {shapes}")
    for number in range(queries):
        name = rng.choice([*SHAPES])
        shape = shapes[name] if shapes else name
        asked = question(shape, number, rng)
        yield shape, replace(asked, query=replace(asked.query, query_class=name))


def regrets(played: Sequence[OracleResult], rules: Mapping[str, Rule], price: float) -> Floats:
    """Points lost by query, against the oracle on the same chains."""
    lost = []
    for one in played:
        rule = rules[one.shape]
        best = rule.play(paths(one.asked)[rule.way])
        ours = one.right - price * one.tokens
        lost.append(100 * (best.right - price * best.tokens - ours))
    return np.array(lost)


def mean(values: Floats) -> Estimate:
    """Nothing is known of how far one value alone is off."""
    value, error = float(values.mean()), np.inf
    if values.size > 1:
        error = 1.96 * float(values.std(ddof=1)) / np.sqrt(values.size)
    return Estimate(value, value - error, value + error)


def less(one: Estimate, other: Estimate) -> Estimate:
    value, error = one.value - other.value, np.hypot(one.high - one.value, other.high - other.value)
    return Estimate(value, value - error, value + error)


def learning(oracle: Oracle, seeds: int, queries: int) -> Iterator[Goal]:
    for price in PRICES:
        rules = oracle.rules(price)
        lost = []
        for seed in range(seeds):
            server = PricedServer(Price(price), seed)
            played = [server.answer(*each) for each in stream(seed, queries)]
            lost.append(regrets(played, rules, price))
        table = np.array(lost)
        quarters = [mean(part) for part in np.array_split(table, 4, axis=1)]
        ways = ", ".join(f"{shape} {rule.way}" for shape, rule in rules.items())
        print(f"price {price:g}: the oracle takes {ways}; regret by quarter, in points:")
        print("    " + "   ".join(map(figure, quarters)), flush=True)
        shapes = np.array([[shape for shape, _ in stream(s, queries)] for s in range(seeds)])
        late = slice(queries // 2, None)
        for shape in SHAPES:
            part = table[:, late][shapes[:, late] == shape]
            print(f"    {shape:>8}, last half: {figure(mean(part))}")
        yield Goal(f"price {price:g}: regret, last half", mean(table[:, late]), MOST_REGRET)
        fall = less(quarters[3], quarters[1])
        yield Goal(f"price {price:g}: regret, last quarter less second", fall, 0.0)


def swapped(oracle: Oracle, seeds: int, queries: int) -> Goal:
    """After all classes have changed: what is lost once each has seen 500 queries."""
    price = PRICES[1]
    rules, lost = oracle.rules(price), []
    settled, judged = 500 * len(SHAPES), 100 * len(SHAPES)
    for seed in range(seeds):
        server = PricedServer(Price(price), seed)
        for each in stream(seed, queries):
            server.answer(*each)
        after = [server.answer(*each) for each in stream(seed, settled + judged, NEW)]
        lost.append(regrets(after[settled:], rules, price))
    return Goal(
        "after a change of all: regret past 500 queries a class", mean(np.array(lost)), MOST_REGRET
    )


def held(seeds: int, queries: int) -> Iterator[Goal]:
    """How far the last half of a stream is off its goal."""
    tokens, accuracy = [], []
    for seed in range(seeds):
        server = PricedServer(Price.for_tokens(TOKENS), seed)
        late = [server.answer(*each) for each in stream(seed, queries)][queries // 2 :]
        tokens.append(abs(np.mean([one.tokens for one in late]) / TOKENS - 1))
        server = PricedServer(Price.for_accuracy(ACCURACY), seed)
        late = [server.answer(*each) for each in stream(seed, queries)][queries // 2 :]
        accuracy.append(100 * abs(np.mean([one.right for one in late]) - ACCURACY))
    yield Goal(f"off {TOKENS:g} tokens a query, last half", mean(np.array(tokens)), MOST_DRIFT)
    yield Goal(f"off {ACCURACY:.0%} right, last half, points", mean(np.array(accuracy)), MOST_OFF)


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--seeds", default=5, type=click.IntRange(1, 1000))
@click.option("--queries", default=6000, type=click.IntRange(40), help="Of each seed, all classes.")
@click.option("--quick", is_flag=True, help="One seed, a tenth of the queries, no change of all.")
def main(seeds: int, queries: int, quick: bool) -> None:
    if quick:
        seeds, queries = 1, queries // 10
    oracle = Oracle(1000 if quick else 5000)
    reached = [*learning(oracle, seeds, queries)]
    if not quick:
        reached.append(swapped(oracle, seeds, queries))
    reached += held(seeds, queries)
    print()
    for goal in reached:
        print(goal)
    report({goal.name: goal.as_dict() for goal in reached})


if __name__ == "__main__":
    main()
