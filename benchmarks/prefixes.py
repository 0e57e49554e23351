"""Thinking-token budgets that learn: tokens at equal accuracy on prefix traces, in one run.

    python -m benchmarks.prefixes [--traces DIR] [--seeds N] [--quick]

DIR holds prefix traces (see scheduler/experiments/recordings.py), each file a query class; without
DIR the chains are simulated (benchmarks/populations/prefixes.py). `priced` has
its price for a knob, starts cold, and gets the right answers of a tenth of its queries; all of
its tokens count, those of exploring too. Peers are tuned in hindsight: of every family the best
settings and mixes of them count: caps on thinking, Dynasor and DEER over a grid.

Accuracies to compare at are those that caps reach with the shares `LEVELS` of the tokens of the
best cap. Then `priced` learns from one half of the questions and answers the other, without
learning on: its peers are tuned on that other half in hindsight, or on the first half as it is. The
last part knows its rules beforehand, from all chains, all checked: a goal that it misses is not to
be reached by learning faster.

Intervals are of a bootstrap over seeds and questions. The last line is JSON: every goal, its value
(the worst of the levels), and whether it is met.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.cells import FIXED, Part, levels, ratios, replicated
from benchmarks.frontier import Floats, Goal, figure, tokens_at
from benchmarks.goals import report
from benchmarks.populations.prefixes import simulated_trace
from benchmarks.prefix_replay import (
    LABELLED,
    Costs,
    PrefixCurve,
    PrefixResult,
    PrefixSetting,
    arrivals,
    replay,
    replay_chain,
    thinned,
)
from policies import build
from policies.curves.plans.counts import PlanCounts
from policies.curves.plans.curve import fit_plans
from policies.priced import Priced
from scheduler.experiments.recordings import PrefixTrace, load_recordings
from scheduler.progress import progress

OURS, PEERS = "priced", ("dynasor", "deer")
PRICES = (0.01, 0.03, 0.05, 0.08, 0.12, 0.16, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
"""Accuracy that a mean chain must buy."""
TUNING = (0.003, 0.006, 0.02, *PRICES)
AGREE = (2, 3, 4, 5, 6, 8)
PROBE_EVERY = (64, 512, 1024, 2048, 3072, 4096)
THRESHOLDS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999, 0.99999)
GOALS: Mapping[str, Mapping[str, float]] = {
    "early": {FIXED: 1.0, "peers": 1.0},
    "late": {FIXED: 0.65, "peers": 0.85},
}


Places = NDArray[np.int64]


def peers(trace: PrefixTrace) -> list[PrefixSetting]:
    """Settings that do not learn; caps lie at every twentieth of all recorded prefixes."""
    tokens = [prefix.tokens for chain in trace.chains for prefix in chain.prefixes]
    caps = sorted({int(cap) for cap in np.quantile(tokens, np.arange(0, 1, 0.05))})
    chosen: list[tuple[str, dict[str, object]]] = [
        (FIXED, {"max_thinking_tokens": cap}) for cap in (*caps, None)
    ]
    chosen += [
        ("dynasor", {"agree": agree, "probe_every": every})
        for agree in AGREE
        for every in PROBE_EVERY
    ]
    chosen += [("deer", {"threshold": threshold}) for threshold in THRESHOLDS]
    return [
        PrefixSetting(name, f"{name} {options}", build(name, **options)) for name, options in chosen
    ]


def ours(trace: PrefixTrace, *, quick: bool, explore: bool = True) -> list[PrefixSetting]:
    mean = float(np.mean([chain.tokens for chain in trace.chains]))
    policy = Priced(max_samples=1, max_extensions=0)
    policy = policy if explore else replace(policy, exploration=0.0)
    return [
        PrefixSetting(OURS, f"{OURS} {part:g}/chain", policy, price=part / mean)
        for part in (PRICES[::2] if quick else PRICES)
    ]


class PrefixBenchmark:
    """One trace: peers are replayed on each of its chains once for all parts."""

    def __init__(self, trace: PrefixTrace, costs: Costs, labels: float, *, quick: bool) -> None:
        self.trace, self.costs, self.labels, self.quick = trace, costs, labels, quick
        names = sorted({chain.question for chain in trace.chains})
        self.questions = np.array([names.index(chain.question) for chain in trace.chains])
        self.peers = peers(trace)
        self.table = np.array([self._each(setting) for setting in self.peers])

    def _each(self, setting: PrefixSetting, curve: PrefixCurve | None = None) -> list[PrefixResult]:
        rng = Random(0)
        return [
            replay_chain(setting, self.trace, chain, rng, curve, self.costs)[0]
            for chain in self.trace.chains
        ]

    def streams(self, seeds: int, early: int, late: int) -> Iterator[Part]:
        """From a cold start: the first queries, all of them, and the last third."""
        settings = ours(self.trace, quick=self.quick)
        chains, results = [], []
        everything = range(len(self.trace.chains))
        with progress(self.trace.query_class, seeds * len(settings)) as bar:
            for seed in range(seeds):
                stream = arrivals(everything, late, Random(f"{seed}"), self.labels)
                chains.append([arrival.chain for arrival in stream])
                runs = []
                for setting in settings:
                    outcomes, _ = replay(setting, self.trace, stream, seed, self.costs)
                    runs.append(outcomes)
                    bar.advance(setting.label)
                results.append(runs)
        chosen_chains, table = np.array(chains), np.array(results, dtype=np.float64)
        for name, part, goals in (
            (f"first {early} queries", slice(0, early), GOALS["early"]),
            (f"all {late} queries", slice(0, late), GOALS["late"]),
            (f"last third of {late} queries", slice(late - late // 3, late), {}),
        ):
            yield self._part(name, chosen_chains[:, part], table[:, :, part], goals)

    def held_out(self, seeds: int, queries: int) -> Iterator[Part]:
        """Learned on one half of the questions, judged on the other."""
        settings = ours(self.trace, quick=self.quick)
        frozen = ours(self.trace, quick=self.quick, explore=False)
        number = self.questions.max() + 1
        chosen_chains, results = [], []
        tuned: list[NDArray[np.bool_]] = []
        with progress(f"{self.trace.query_class}, halves", 2 * seeds * len(settings)) as bar:
            for seed in range(seeds):
                half = np.isin(self.questions, Random(seed).sample(range(number), number // 2))
                result = np.zeros((len(settings), len(half), 2))
                for learned in (half, ~half):
                    own = np.flatnonzero(learned).tolist()
                    stream = arrivals(own, queries, Random(f"half {seed}"), self.labels)
                    for place, setting in enumerate(settings):
                        _, curve = replay(setting, self.trace, stream, seed, self.costs)
                        each = np.array(self._each(frozen[place], curve), dtype=np.float64)
                        result[place, ~learned] = each[~learned]
                        bar.advance(setting.label)
                chosen_chains.append(np.arange(len(half)))
                results.append(result)
                tuned.append(half)
        chains, table = np.array(chosen_chains), np.array(results)
        hindsight = self._part("other half, peers tuned on it", chains, table, {})
        yield hindsight
        yield hindsight._replace(
            name="other half, all tuned on the first",
            sums={OURS: hindsight.sums[OURS], **self._tuned(tuned, hindsight)},
            goals=GOALS["late"],
        )

    def known(self) -> Part:
        """Rules from all chains to their end, checked, then replayed on the same chains."""
        policy = Priced(max_samples=1, max_extensions=0, exploration=1.0)
        run_to_end = PrefixSetting(OURS, "whole", policy, price=1e-9)
        counts, rng = PlanCounts(), Random(0)
        for chain in self.trace.chains:
            _, shown = replay_chain(run_to_end, self.trace, chain, rng, costs=self.costs)
            counts.observe([shown.course], shown.truth, is_exploration=True)
        results = []
        for setting in ours(self.trace, quick=self.quick, explore=False):
            plans = fit_plans(counts, prices=[setting.price])
            results.append(self._each(setting, PrefixCurve(plans)))
        each = np.array([np.arange(len(self.trace.chains))])
        return self._part("rules known beforehand", each, np.array([results], np.float64), {})

    def _tuned(self, halves: Sequence[NDArray[np.bool_]], like: Part) -> dict[str, Floats]:
        """Peers at their best on one half at each price, replayed on the other."""
        mean = float(np.mean([chain.tokens for chain in self.trace.chains]))
        place = {cell: number for number, cell in enumerate(like.cells)}
        families: dict[str, Floats] = {}
        for family in (FIXED, *PEERS):
            table = self.table[[s.family == family for s in self.peers]]
            sums = np.zeros((len(TUNING), len(like.cells), 2))
            for seed, half in enumerate(halves):
                for learned in (half, ~half):
                    right, tokens = table[:, learned].mean(axis=1).T
                    where = [place[seed, q] for q in self.questions[~learned]]
                    for row, part in enumerate(TUNING):
                        best = int(np.argmax(right - part / mean * tokens))
                        np.add.at(sums[row], where, table[best, ~learned])
            families[family] = sums
        return families

    def _part(
        self, name: str, chosen_chains: Places, ours: Floats, goals: Mapping[str, float]
    ) -> Part:
        """`chosen_chains` by seed, query; `ours` by seed, setting, query, (right, tokens)."""
        cells: dict[tuple[int, int], int] = {}
        where = np.array(
            [
                [cells.setdefault((seed, self.questions[chain]), len(cells)) for chain in row]
                for seed, row in enumerate(chosen_chains)
            ]
        )
        families: dict[str, list[Floats]] = {}
        settings = [
            (s.family, row[chosen_chains]) for s, row in zip(self.peers, self.table, strict=True)
        ]
        settings += [(OURS, ours[:, place]) for place in range(ours.shape[1])]
        for family, outcomes in settings:
            sums = np.zeros((len(cells), 2))
            np.add.at(sums, where.ravel(), outcomes.reshape(-1, 2))
            families.setdefault(family, []).append(sums)
        counts = np.bincount(where.ravel(), minlength=len(cells)).astype(np.float64)
        return Part(name, {f: np.array(s) for f, s in families.items()}, counts, [*cells], goals)


def judged(query_class: str, part: Part) -> Iterator[Goal]:
    """Print how a part went, and yield what was to be reached in it."""
    (families, *_), compared = replicated(part), ratios(part, OURS, PEERS)
    at = levels(families[FIXED])
    print(f"\n{query_class}, {part.name}: tokens a query at an accuracy of")
    print(" " * 12 + "".join(f"{accuracy:>22.4f}" for accuracy in at))
    for family in (FIXED, *PEERS, OURS):
        reached = [tokens_at(families[family], accuracy) for accuracy in at]
        cells = [
            f"{tokens:>22.0f}" if math.isfinite(tokens) else f"{'-':>22}" for tokens in reached
        ]
        best = max(families[family])
        print(f"{family:12}" + "".join(cells) + f"   best {best.accuracy:.4f} at {best.tokens:.0f}")
    print(f"tokens of {OURS} over those of (95 % interval)")
    for family, row in compared.items():
        print(f"{family:12}" + "".join(f"{figure(each):>22}" for each in row[:-1]))
    for family, goal in part.goals.items():
        yield Goal(f"{query_class}, {part.name}: over {family}", compared[family][-1], goal)


def _recorded(folder: Path | None) -> Sequence[PrefixTrace]:
    """The prefix traces of a folder; simulated ones without a folder."""
    if folder is None:
        print("no --traces: simulated chains, which are no measure of a model", file=sys.stderr)
        return [simulated_trace()]
    try:
        recorded = load_recordings(folder)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not recorded.prefixes:
        raise click.UsageError(
            f"{folder}: no prefix traces; see scheduler/experiments/recordings.py"
        )
    for name in recorded.skipped:
        print(f"{name}: no trace, skipped", file=sys.stderr)
    return recorded.prefixes


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--traces", type=click.Path(path_type=Path), help="Folder of prefix traces.")
@click.option("--seeds", default=3, type=click.IntRange(1, 1000))
@click.option("--early", default=1500, type=click.IntRange(20))
@click.option("--late", default=15_000, type=click.IntRange(60))
@click.option("--labels", default=LABELLED, type=click.FloatRange(0, 1), help="Share checked.")
@click.option("--trial-tokens", default=24, type=click.IntRange(0), help="Cost of one trial.")
@click.option("--answer-tokens", default=8, type=click.IntRange(0), help="Of every answer.")
@click.option("--keep", default=1.0, type=click.FloatRange(0, 1), help="Share of prefixes kept.")
@click.option("--quick", is_flag=True, help="One seed, a tenth of the queries, half the prices.")
def main(
    traces: Path | None,
    seeds: int,
    early: int,
    late: int,
    labels: float,
    trial_tokens: int,
    answer_tokens: int,
    keep: float,
    quick: bool,
) -> None:
    recorded = _recorded(traces)
    if quick:
        seeds, early, late = 1, max(20, early // 10), max(60, late // 10)
    if early > late:
        raise click.UsageError(f"early must be at most late ({late}), got {early}")
    reached: list[Goal] = []
    for trace in recorded:
        kept = thinned(trace, keep, Random(0))
        benchmark = PrefixBenchmark(kept, Costs(trial_tokens, answer_tokens), labels, quick=quick)
        streams, halves = benchmark.streams(seeds, early, late), benchmark.held_out(seeds, late)
        for part in (*streams, *halves, benchmark.known()):
            reached += judged(trace.query_class, part)
    print()
    for goal in reached:
        print(goal)
    report({goal.name: goal.as_dict() for goal in reached})


if __name__ == "__main__":
    main()
