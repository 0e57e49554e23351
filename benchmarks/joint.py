"""What `priced` loses against an oracle that knows the population, from a cold start.

    python -m benchmarks.joint [--seeds N] [--queries N] [--quick]

Questions are those of benchmarks/populations/caps_and_votes.py: six classes; a fifth brings
its right answer. The oracle is the same policy with curves from `KNOWN` other questions of each
class, all checked, and nothing tried. Regret is the value lost per query in points of accuracy:
accuracy less the price of the tokens. Fixed settings are all pairs of a cap and a number of votes;
tokens are compared with theirs, and mixes of two of them, at equal accuracy.

Intervals are of the mean over queries. The last line is JSON: every goal, and whether it is met.
"""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

import click
import numpy as np

from benchmarks.frontier import Floats, Goal, SettingMean, figure, tokens_at
from benchmarks.goals import report
from benchmarks.joint_replay import Everything, KnownCurve, KnownQuestion, ReplayResult, solve
from benchmarks.oracle import difference, mean
from benchmarks.populations.caps_and_votes import CHAINS, COSTS, LAWS, question
from policies.curves.exit_statistics import POSITIONS
from policies.curves.plans.counts import IsRight, PlanCounts
from policies.curves.plans.curve import fit_plans
from policies.plan import Budget
from policies.priced import Priced
from policies.tally import Tally, Vote
from scheduler.progress import Progress, progress

PRICES = (2e-6, 8e-6, 3e-5)
LABELLED = 0.2
KNOWN = 1500
VOTES = (1, 2, 3, 4, 6, 8, 12, 16)
MAX_REGRET, MAX_TOKENS = 1.0, 0.45
WHOLE = Everything(CHAINS)


def is_right(answer: str | None) -> bool:
    return answer == "0"


class Learner:
    """A curve store in small: refits a class when a tenth has come in; a class leans on others."""

    def __init__(self, price: float) -> None:
        self._price = price
        self._known = [PlanCounts() for _ in LAWS]
        self._unfitted, self._labelled = [0] * len(LAWS), [0] * len(LAWS)
        self.curves = [KnownCurve(None)] * len(LAWS)

    def observe(self, number: int, result: ReplayResult, *, labelled: bool) -> None:
        counts = self._known[number]
        truth: IsRight = is_right if labelled else _unknown
        counts.observe(result.courses, truth, is_exploration=result.is_exploration)
        self._labelled[number] += labelled
        self._unfitted[number] += 1
        if self._unfitted[number] >= 0.1 * counts.queries:
            self._fit(number)

    def _fit(self, number: int) -> None:
        self._unfitted[number] = 0
        counts, others = self._known[number], PlanCounts()
        for other, known in enumerate(self._known):
            if other != number:
                others.merge(known)
        joint = fit_plans(counts, others, prices=[self._price])
        self.curves[number] = KnownCurve(joint, self._labelled[number] / counts.queries)


def _unknown(answer: str | None) -> None:
    return None


def known_population(questions: int) -> list[PlanCounts]:
    """Of every class, from questions of its own, all checked."""
    rng, known = Random("oracle"), []
    for number in range(len(LAWS)):
        counts = PlanCounts()
        for _ in range(questions):
            result = solve(WHOLE, question(number, rng), rng, COSTS)
            counts.observe(result.courses, is_right, is_exploration=True)
        known.append(counts)
    return known


class Arrival(NamedTuple):
    number: int
    asked: KnownQuestion
    labelled: bool


def stream(seed: int, queries: int) -> list[Arrival]:
    rng = Random(f"stream {seed}")
    numbers = [rng.randrange(len(LAWS)) for _ in range(queries)]
    return [Arrival(n, question(n, rng), rng.random() < LABELLED) for n in numbers]


Play = Callable[[Arrival], ReplayResult]


def played(arrivals: Sequence[Arrival], play: Play) -> Floats:
    """(query, 2): right and tokens."""
    results = [play(arrival) for arrival in arrivals]
    return np.array([(result.right, result.tokens) for result in results], dtype=np.float64)


def by_learning(price: float, seed: int) -> tuple[Play, Learner]:
    learner, rng, policy = Learner(price), Random(f"joint {seed}"), Priced(max_extensions=0)

    def play(arrival: Arrival) -> ReplayResult:
        curve = learner.curves[arrival.number]
        result = solve(
            policy, arrival.asked, rng, COSTS, price=price, curve=curve, labelled=arrival.labelled
        )
        learner.observe(arrival.number, result, labelled=arrival.labelled)
        return result

    return play, learner


def by_knowing(price: float, curves: Sequence[KnownCurve]) -> Play:
    policy, rng = Priced(exploration=0.0, max_extensions=0), Random("oracle")

    def play(arrival: Arrival) -> ReplayResult:
        curve = curves[arrival.number]
        return solve(policy, arrival.asked, rng, COSTS, price=price, curve=curve)

    return play


def fixed(arrivals: Sequence[Arrival]) -> list[SettingMean]:
    """All pairs of a cap (or none) and a number of votes."""
    sums = np.zeros((len(POSITIONS) + 1, len(VOTES), 2))
    for _, asked, _ in arrivals:
        for row, cap in enumerate([*POSITIONS, None]):
            ends = [chain.end(Budget.within(cap)) for chain in asked.chains]
            votes = [
                Vote(number, end.answer, end.tokens + COSTS.answer, end.tokens)
                for number, end in enumerate(ends)
            ]
            for column, count in enumerate(VOTES):
                tally = Tally(tuple(votes[:count]))
                sums[row, column] += is_right(tally.leader), tally.tokens
    return [SettingMean(*pair) for pair in (sums / len(arrivals)).reshape(-1, 2).tolist()]


def judged(seeds: int, queries: int, known: Sequence[PlanCounts], bar: Progress) -> Iterator[Goal]:
    streams = [stream(seed, queries) for seed in range(seeds)]
    peers = [fixed(arrivals) for arrivals in streams]
    for price in PRICES:
        curves = [KnownCurve(fit_plans(counts, prices=[price])) for counts in known]
        regret, ratios, ours, known_ratios = [], [], [], []
        for seed, arrivals in enumerate(streams):
            play, learner = by_learning(price, seed)
            ours.append(played(arrivals, play))
            best = played(arrivals, by_knowing(price, curves))
            regret.append(100 * ((best - ours[-1]) @ np.array([1.0, -price])))
            accuracy, tokens = ours[-1].mean(axis=0)
            ratios.append(tokens / tokens_at(peers[seed], accuracy))
            accuracy, tokens = best.mean(axis=0)
            known_ratios.append(tokens / tokens_at(peers[seed], accuracy))
            bar.advance(f"price {price:g}")
        table = np.array(regret)
        quarters = [mean(part) for part in np.array_split(table, 4, axis=1)]
        accuracy, tokens = np.array(ours).mean(axis=(0, 1))
        plans = [each.plans.tables[0].plans[0] for each in curves if each.plans]
        print(f"price {price:g}: {accuracy:.4f} right, {tokens:.0f} tokens; regret by quarter:")
        print("    " + "   ".join(map(figure, quarters)))
        print(f"    the oracle: {'; '.join(str(plan.setting) for plan in plans)}")
        learned = [each.plans.tables[0].plans[0] for each in learner.curves if each.plans]
        print(f"    learned:    {'; '.join(str(plan.setting) for plan in learned)}")
        print(f"    oracle's tokens over fixed: {np.mean(known_ratios):.2f}", flush=True)
        late = table[:, queries // 2 :]
        yield Goal(f"price {price:g}: regret, last half", mean(late), MAX_REGRET)
        fall = difference(quarters[3], quarters[1])
        yield Goal(f"price {price:g}: regret, last quarter less second", fall, 0.0)
        yield Goal(f"price {price:g}: tokens over fixed", mean(np.array(ratios)), MAX_TOKENS)


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--seeds", default=5, type=click.IntRange(1, 1000))
@click.option("--queries", default=6000, type=click.IntRange(40), help="Of each seed, all classes.")
@click.option("--quick", is_flag=True, help="One seed, a fifth of the queries.")
def main(seeds: int, queries: int, quick: bool) -> None:
    if quick:
        seeds, queries = 1, queries // 5
    known = known_population(KNOWN // 5 if quick else KNOWN)
    with progress("streams", seeds * len(PRICES)) as bar:
        reached = [*judged(seeds, queries, known, bar)]
    print()
    for goal in reached:
        print(goal)
    report({goal.name: goal.as_dict() for goal in reached})


if __name__ == "__main__":
    main()
