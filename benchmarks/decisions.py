"""How long a decision and an update of the statistics behind it take, whatever came before.

    python -m benchmarks.decisions [--quick]

Decisions are timed one by one along votes of simulated questions, of one class or of any of many;
at last while another process fits curves without a pause, as the bookkeeper's does beside a server.
An update is one observation of three votes; the median of batches. Bytes of a class are those of
its statistics and its curve, pickled. "Flat" compares the most with the least that was seen. The
last line is JSON.
"""

import multiprocessing
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from multiprocessing.synchronize import Event
from random import Random
from typing import NamedTuple

import click
import numpy as np

from benchmarks.goals import at_most, report
from policies.base import Query, Situation, Stop
from policies.curves.class_statistics import ClassStatistics
from policies.curves.curve import ClassCurve, fit
from policies.curves.observation import Observation
from policies.curves.plans.settings import ChainSetting
from policies.plan import Budget, Plan
from policies.priced import Priced
from policies.tally import Tally, Vote
from scheduler.progress import progress

QUERIES = (1000, 100_000, 1_000_000)
CLASSES = (1, 100, 1000)
DECIDED, UPDATED, FLAT = 100.0, 10.0, 1.2
"""Goals: microseconds of a decision (p99, during a fit) and of an update; most over least seen."""
PRICE = 1e-4
BUDGET = Budget(1000)
BATCH, POOL, OF_A_CLASS = 100, 2000, 100


POLICY = Priced()
PLAN = Plan("whole", BUDGET, setting=ChainSetting())


class DecisionTimes(NamedTuple):
    """Microseconds of a decision and of an update; bytes of one class."""

    median: float
    high: float
    update: float
    bytes: float


def history(rng: Random, votes: int) -> tuple[Vote, ...]:
    share = rng.betavariate(3, 1)
    answers = ("r" if rng.random() < share else rng.choice("abcd") for _ in range(votes))
    return tuple(
        Vote(chain, answer, tokens, tokens)
        for chain, answer in enumerate(answers)
        for tokens in [round(rng.lognormvariate(5 - share, 0.4))]
    )


def observation(rng: Random) -> Observation:
    right = {"r": True, "a": False} if rng.random() < 0.1 else {}
    return Observation("class", history(rng, 3), BUDGET, None, PLAN, right, chance=0.8)


def microseconds(work: Callable[[], None]) -> float:
    began = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - began) / 1000


def learn(statistics: ClassStatistics, coming: Sequence[Observation], count: int) -> float:
    """Microseconds of an update: the median of batches, which other work on the machine moves."""

    def observe(batch: Sequence[Observation]) -> None:
        for one in batch:
            statistics.observe(one)

    stream, times = cycle(coming), []
    for _ in range(count // BATCH):
        batch = list(islice(stream, BATCH))
        times.append(microseconds(partial(observe, batch)) / BATCH)
    return float(np.median(times))


def decisions(curves: Sequence[ClassCurve], count: int, rng: Random) -> list[float]:
    """One time for each decision of so many queries, at most eight votes each."""
    policy, query, times = POLICY, Query("q", ()), []
    for _ in range(count):
        votes, plan, curve = history(rng, 8), None, rng.choice(curves)
        for cast in range(9):
            situation = Situation(query, Tally(votes[:cast]), 1000, curve, PRICE, plan)
            began = time.perf_counter_ns()
            decision = policy.decide(situation, rng)
            times.append((time.perf_counter_ns() - began) / 1000)
            if isinstance(decision, Stop):
                break
            plan = getattr(decision, "plan", None)
    return times


def weight(statistics: ClassStatistics, curve: ClassCurve) -> int:
    return len(pickle.dumps(statistics)) + len(pickle.dumps(curve))


def by_queries(seen: Sequence[int], decided: int, rng: Random) -> Iterator[DecisionTimes]:
    """One class that has seen more and more."""
    coming, statistics = [observation(rng) for _ in range(POOL)], ClassStatistics()
    for queries in seen:
        update = learn(statistics, coming, queries - round(statistics.queries))
        began = time.perf_counter()
        curve = fit(statistics, parent=statistics, price=PRICE)
        fitting = 1000 * (time.perf_counter() - began)
        median, high = np.quantile(decisions([curve], decided, rng), (0.5, 0.99))
        row = DecisionTimes(float(median), float(high), update, weight(statistics, curve))
        show(f"{queries} queries, fit {fitting:.0f} ms", row)
        yield row


def by_classes(numbers: Sequence[int], decided: int, rng: Random) -> Iterator[DecisionTimes]:
    """More and more classes of a few queries each, asked in random order."""
    known: list[tuple[ClassStatistics, ClassCurve]] = []
    for number in numbers:
        updates = []
        while len(known) < number:
            statistics = ClassStatistics()
            coming = [observation(rng) for _ in range(OF_A_CLASS)]
            updates.append(learn(statistics, coming, OF_A_CLASS))
            known.append((statistics, fit(statistics, price=PRICE)))
        times = decisions([curve for _, curve in known], decided, rng)
        size = float(np.mean([weight(*one) for one in known[:BATCH]]))
        median, high = np.quantile(times, (0.5, 0.99))
        row = DecisionTimes(float(median), float(high), float(np.median(updates)), size)
        show(f"{number} classes", row)
        yield row


def show(name: str, row: DecisionTimes) -> None:
    print(
        f"{name:>32}: decision p50 {row.median:.1f} us, p99 {row.high:.1f} us; "
        f"update {row.update:.1f} us; {row.bytes / 1000:.0f} kB a class",
        flush=True,
    )


@contextmanager
def fitting_process() -> Iterator[None]:
    """Curves are fitted in another process until the block ends."""
    context = multiprocessing.get_context("spawn")
    started, end = context.Event(), context.Event()
    process = context.Process(target=_fit_on, args=(started, end), daemon=True)
    process.start()
    started.wait()
    try:
        yield
    finally:
        end.set()
        process.join()


def _fit_on(started: Event, end: Event) -> None:
    rng, statistics = Random(1), ClassStatistics()
    learn(statistics, [observation(rng) for _ in range(POOL)], POOL)
    while not end.is_set():
        fit(statistics, parent=statistics, price=PRICE)
        started.set()


def _during_fits(decided: int, rng: Random) -> float:
    """Microseconds of a decision (p99) while another process fits."""
    statistics = ClassStatistics()
    learn(statistics, [observation(rng) for _ in range(POOL)], POOL)
    curve = fit(statistics, price=PRICE)
    with fitting_process():
        middle, high = np.quantile(decisions([curve], decided, rng), (0.5, 0.99))
    print(f"{'during fits':>32}: decision p50 {middle:.1f} us, p99 {high:.1f} us")
    return float(high)


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--quick", is_flag=True, help="A tenth of the queries and of the classes.")
def main(quick: bool) -> None:
    part, decided, rng = (10 if quick else 1), 2000, Random(0)
    with progress("decisions", len(QUERIES) + len(CLASSES) + 1) as bar:

        def counted(rows: Iterator[DecisionTimes]) -> Iterator[DecisionTimes]:
            for row in rows:
                bar.advance()
                yield row

        few, *_, many = counted(by_queries([max(1000, n // part) for n in QUERIES], decided, rng))
        one, *_, all_ = counted(by_classes([max(1, n // part) for n in CLASSES], decided, rng))
        high = _during_fits(decided, rng)
        bar.advance()
    limits = {
        "decision p99 during a fit, microseconds": (high, DECIDED),
        "update, microseconds": (max(many.update, all_.update), UPDATED),
        "flat over queries: decision p50": (many.median / few.median, FLAT),
        "flat over queries: update": (many.update / few.update, FLAT),
        "flat over queries: bytes of a class": (many.bytes / few.bytes, FLAT),
        "flat over classes: decision p50": (all_.median / one.median, FLAT),
        "flat over classes: bytes of a class": (all_.bytes / one.bytes, FLAT),
    }
    report({name: at_most(value, limit) for name, (value, limit) in limits.items()})


if __name__ == "__main__":
    main()
