"""How long `priced` takes to decide and its statistics to learn, however much it has seen.

    python -m benchmarks.decisions [--quick]

Decisions are timed one by one along votes of simulated questions; updates are one observation of
three votes, the median of batches. The fit is timed too: it runs away from the request path. The
last line is JSON.
"""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import click
import numpy as np

from policies.base import Query, Situation, Stop
from policies.curve import ClassCurve, ClassStatistics, Observation, fit
from policies.plan import Budget
from policies.priced import Priced
from policies.tally import Ballot, Tally

GOALS = {"decision p99, microseconds": 100.0, "update, microseconds": 10.0}
PRICE = 1e-4
BUDGET = Budget(1000)
BATCH = 100


def history(rng: Random, votes: int) -> tuple[Ballot, ...]:
    share = rng.betavariate(3, 1)
    answers = ("r" if rng.random() < share else rng.choice("abcd") for _ in range(votes))
    return tuple(
        Ballot(chain, answer, tokens, tokens)
        for chain, answer in enumerate(answers)
        for tokens in [round(rng.lognormvariate(5 - share, 0.4))]
    )


def observation(rng: Random) -> Observation:
    right = {"r": True, "a": False} if rng.random() < 0.1 else {}
    return Observation("class", history(rng, 3), BUDGET, None, right=right)


def microseconds(work: Callable[[], None]) -> float:
    began = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - began) / 1000


def learn(statistics: ClassStatistics, coming: Sequence[Observation]) -> float:
    """Microseconds of an update: the median of batches, which other work on the machine moves."""

    def observe(batch: Sequence[Observation]) -> None:
        for one in batch:
            statistics.observe(one)

    batches = [coming[start : start + BATCH] for start in range(0, len(coming), BATCH)]
    times = [microseconds(partial(observe, batch)) / len(batch) for batch in batches]
    return float(np.median(times))


def decisions(curve: ClassCurve, count: int, rng: Random) -> list[float]:
    """One time for each decision of so many queries, at most eight votes each."""
    policy, query, times = Priced(votes_only=True), Query("q", ()), []
    for _ in range(count):
        votes, plan = history(rng, 8), None
        for cast in range(9):
            situation = Situation(query, Tally(votes[:cast]), 1000, curve, PRICE, plan)
            began = time.perf_counter_ns()
            decision = policy.decide(situation, rng)
            times.append((time.perf_counter_ns() - began) / 1000)
            if isinstance(decision, Stop):
                break
            plan = getattr(decision, "plan", None)
    return times


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--quick", is_flag=True)
def main(quick: bool) -> None:
    rng, statistics = Random(0), ClassStatistics()
    seen, worst, slowest = 0, 0.0, 0.0
    for queries in (1000, 10_000) if quick else (1000, 10_000, 100_000):
        coming = [observation(rng) for _ in range(queries - seen)]
        seen = queries
        update = learn(statistics, coming)
        began = time.perf_counter()
        curve = fit(statistics, parent=statistics, price=PRICE)
        fitting = time.perf_counter() - began
        times = decisions(curve, 2000, rng)
        median, high = np.quantile(times, (0.5, 0.99))
        print(
            f"{queries:>8} queries: decision p50 {median:.1f} us, p99 {high:.1f} us; "
            f"update {update:.1f} us; fit {1000 * fitting:.0f} ms; "
            f"{len(statistics.votes.cells)} counts"
        )
        worst, slowest = max(worst, float(high)), max(slowest, update)
    values = dict(zip(GOALS, (worst, slowest), strict=True))
    print(
        json.dumps(
            {
                name: {"value": round(value, 2), "goal": GOALS[name], "met": value <= GOALS[name]}
                for name, value in values.items()
            }
        )
    )


if __name__ == "__main__":
    main()
