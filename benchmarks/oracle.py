"""What `priced` loses against an oracle that knows the population, from a cold start.

    python -m benchmarks.oracle [--seeds N] [--queries N] [--quick]

Questions are those of benchmarks/populations/questions.py: all chains are known. The oracle
has the same methods: extensions, votes, caps. Its rules come by backward induction from so many
questions of each class, with every answer known, that it need not estimate. They are applied to the
same questions as `priced`, which learns in a curve store and gets a fifth of the right answers.
Regret is the value lost per query, in points of accuracy: accuracy less the price of the tokens.

Then all classes change. Then the price is to hold a goal: tokens of a query, or the share of right
answers. Intervals are of the mean over queries. The last line is JSON: every goal, and whether it
is met.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

import click
import numpy as np

from benchmarks.frontier import Estimate, Floats, Goal, figure
from benchmarks.goals import report
from benchmarks.population import solve
from benchmarks.populations.questions import ANSWER_TOKENS, SHAPES, SimulatedQuestion, question
from policies.curves.chance import chance_right
from policies.curves.extension_counts import states
from policies.curves.length_curve import CAPS
from policies.curves.observation import predicted
from policies.price import Price
from policies.priced import Priced
from policies.tally import Tally
from scheduler.curves.records import ObservationRecord
from scheduler.curves.store import CurveStore
from scheduler.experiments.metrics.regret import Path, Rule, Step, best_rule
from scheduler.progress import Progress, progress
from scheduler.solving.pricing import Pricing

PRICES = (1e-4, 3e-4, 1e-3)
TOKENS, ACCURACY = 250.0, 0.85
"""Goals that the price is to hold."""
EXTENSIONS, VOTES = 5, 16
LABELLED = 0.2
MAX_REGRET, MAX_DRIFT, MAX_OFF = 1.0, 0.02, 1.0
"""Points of regret; share of tokens off; points of accuracy off."""
NEW = dict(zip(SHAPES, [*SHAPES][2:] + [*SHAPES][:2], strict=True))
"""What every class becomes when all change."""


def paths(simulated: SimulatedQuestion) -> dict[str, Path]:
    """By method: every answer that it can reach, in order."""
    greedy = simulated.greedy[: EXTENSIONS + 1]
    first, votes = greedy[0], [Tally(simulated.sampled[:n]) for n in range(1, VOTES + 1)]
    methods: dict[str, Path] = {
        "extensions": [
            Step(
                state,
                simulated.right(end.answer),
                end.thinking_tokens + ANSWER_TOKENS * (extensions + 1),
            )
            for extensions, (state, end) in enumerate(
                zip(states([end.answer for end in greedy]), greedy, strict=True)
            )
        ],
        "votes": [Step(vote.standing, simulated.right(vote.leader), vote.tokens) for vote in votes],
    }
    for cap in CAPS:
        is_cut = first.thinking_tokens > cap
        answer = simulated.guess if is_cut else first.answer
        tokens = min(cap, first.thinking_tokens) + ANSWER_TOKENS
        methods[f"cap {cap}"] = [Step(0, simulated.right(answer), tokens)]
    return methods


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
    simulated: SimulatedQuestion
    shape: str
    right: bool
    tokens: int


class PricedServer:
    """`priced` on a curve store, with a price that may be steered."""

    def __init__(self, price: Price, seed: int) -> None:
        self._pricing, self._rng, self._curves = (
            Pricing(price),
            Random(f"server {seed}"),
            CurveStore(),
        )

    def answer(self, shape: str, simulated: SimulatedQuestion) -> OracleResult:
        name, price = simulated.query.query_class, self._pricing.now()
        curve, labelled = self._curves.curve("m", name), self._rng.random() < LABELLED
        policy = Priced(price=price, max_extensions=EXTENSIONS)
        outcome, observation = solve(policy, simulated, self._rng, curve=curve, labelled=labelled)
        right = None
        if labelled:
            right = outcome.right
            answers = {vote.answer for vote in observation.history if vote.answer is not None}
            observation = replace(
                observation, right={answer: simulated.right(answer) for answer in answers}
            )
        self._curves.observe(ObservationRecord("m", observation, price))
        chance = chance_right(curve, observation.plan, Tally(observation.history))
        foretold = predicted(observation.plan, chance)
        self._pricing.settle(outcome.tokens, predicted=foretold, right=right)
        return OracleResult(simulated, shape, outcome.right, outcome.tokens)


def stream(
    seed: int, queries: int, shapes: Mapping[str, str] | None = None
) -> Iterator[tuple[str, SimulatedQuestion]]:
    """Questions of all classes in random order; `shapes` says what each class is like."""
    rng = Random(f"stream {seed} {shapes}")
    for number in range(queries):
        name = rng.choice([*SHAPES])
        shape = shapes[name] if shapes else name
        simulated = question(shape, number, rng)
        yield shape, replace(simulated, query=replace(simulated.query, query_class=name))


def regrets(results: Sequence[OracleResult], rules: Mapping[str, Rule], price: float) -> Floats:
    """Points lost by query, against the oracle on the same chains."""
    regret = []
    for one in results:
        rule = rules[one.shape]
        best = rule.follow(paths(one.simulated)[rule.method])
        ours = one.right - price * one.tokens
        regret.append(100 * (best.right - price * best.tokens - ours))
    return np.array(regret)


def mean(values: Floats) -> Estimate:
    """Nothing is known of how far one value alone is off."""
    value, error = float(values.mean()), np.inf
    if values.size > 1:
        error = 1.96 * float(values.std(ddof=1)) / np.sqrt(values.size)
    return Estimate(value, value - error, value + error)


def difference(one: Estimate, other: Estimate) -> Estimate:
    value, error = one.value - other.value, np.hypot(one.high - one.value, other.high - other.value)
    return Estimate(value, value - error, value + error)


def learning(oracle: Oracle, seeds: int, queries: int, bar: Progress) -> Iterator[Goal]:
    for price in PRICES:
        rules = oracle.rules(price)
        regret = []
        for seed in range(seeds):
            server = PricedServer(Price(price), seed)
            results = [server.answer(*each) for each in stream(seed, queries)]
            regret.append(regrets(results, rules, price))
            bar.advance(f"price {price:g}")
        table = np.array(regret)
        quarters = [mean(part) for part in np.array_split(table, 4, axis=1)]
        methods = ", ".join(f"{shape} {rule.method}" for shape, rule in rules.items())
        print(f"price {price:g}: the oracle takes {methods}; regret by quarter, in points:")
        print("    " + "   ".join(map(figure, quarters)), flush=True)
        shapes = np.array([[shape for shape, _ in stream(s, queries)] for s in range(seeds)])
        late = slice(queries // 2, None)
        for shape in SHAPES:
            part = table[:, late][shapes[:, late] == shape]
            print(f"    {shape:>8}, last half: {figure(mean(part))}")
        yield Goal(f"price {price:g}: regret, last half", mean(table[:, late]), MAX_REGRET)
        fall = difference(quarters[3], quarters[1])
        yield Goal(f"price {price:g}: regret, last quarter less second", fall, 0.0)


def swapped(oracle: Oracle, seeds: int, queries: int, bar: Progress) -> Goal:
    """After all classes have changed: regret once each has had 500 queries."""
    price = PRICES[1]
    rules, regret = oracle.rules(price), []
    settled, judged = 500 * len(SHAPES), 100 * len(SHAPES)
    for seed in range(seeds):
        server = PricedServer(Price(price), seed)
        for each in stream(seed, queries):
            server.answer(*each)
        after = [server.answer(*each) for each in stream(seed, settled + judged, NEW)]
        regret.append(regrets(after[settled:], rules, price))
        bar.advance("all classes changed")
    return Goal(
        "after a change of all: regret past 500 queries a class", mean(np.array(regret)), MAX_REGRET
    )


def held(seeds: int, queries: int, bar: Progress) -> Iterator[Goal]:
    """How far the last half of a stream is off its goal."""
    tokens, accuracy = [], []
    for seed in range(seeds):
        server = PricedServer(Price.for_tokens(TOKENS), seed)
        late = [server.answer(*each) for each in stream(seed, queries)][queries // 2 :]
        tokens.append(abs(np.mean([one.tokens for one in late]) / TOKENS - 1))
        bar.advance("goal of tokens")
        server = PricedServer(Price.for_accuracy(ACCURACY), seed)
        late = [server.answer(*each) for each in stream(seed, queries)][queries // 2 :]
        accuracy.append(100 * abs(np.mean([one.right for one in late]) - ACCURACY))
        bar.advance("goal of accuracy")
    yield Goal(f"off {TOKENS:g} tokens a query, last half", mean(np.array(tokens)), MAX_DRIFT)
    yield Goal(f"off {ACCURACY:.0%} right, last half, points", mean(np.array(accuracy)), MAX_OFF)


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--seeds", default=5, type=click.IntRange(1, 1000))
@click.option("--queries", default=6000, type=click.IntRange(40), help="Of each seed, all classes.")
@click.option("--quick", is_flag=True, help="One seed, a tenth of the queries, no change of all.")
def main(seeds: int, queries: int, quick: bool) -> None:
    if quick:
        seeds, queries = 1, queries // 10
    oracle = Oracle(1000 if quick else 5000)
    streams = seeds * (len(PRICES) + 2 + (not quick))
    with progress("streams", streams) as bar:
        reached = [*learning(oracle, seeds, queries, bar)]
        if not quick:
            reached.append(swapped(oracle, seeds, queries, bar))
        reached += held(seeds, queries, bar)
    print()
    for goal in reached:
        print(goal)
    report({goal.name: goal.as_dict() for goal in reached})


if __name__ == "__main__":
    main()
