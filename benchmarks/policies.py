"""Every policy on the same recorded answers: tokens at equal accuracy, in one run.

    python -m benchmarks.policies [--traces DIR] [--policies NAMES] [--quick]

DIR holds vote traces (see scheduler/experiments/recordings.py), each file a query class; the
default are the project's own, recorded by `python -m benchmarks.record_traces`. Each class is
replayed alone, and all classes as one mixed stream with one knob. Peers are tuned in hindsight: of
every family the best settings and mixes of them count, and with each peer the setting that asks
once. `priced` has its price for a knob, starts cold, and gets the right answers of a tenth
of its queries; "known" knows every recorded answer beforehand, and shows what there is to be
learned.

Intervals are of a bootstrap over seeds and, within each class, questions. The last line is JSON:
every goal, its value, and whether it is met.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

import click
import numpy as np

from benchmarks.comparison import FIXED, IN_ROUNDS, KNOWN, MIXED, OURS, TUNED, ComparisonRun, goals
from benchmarks.frontier import Floats, QuerySample
from benchmarks.goals import report
from benchmarks.replay import (
    VoteArrival,
    VoteResult,
    VoteSetting,
    arrivals,
    known,
    mixed,
    replay,
    replay_known,
)
from policies import build
from policies.base import Policy
from scheduler.experiments.recordings import VoteTrace, load_recordings
from scheduler.progress import progress

TRACES = Path(__file__).parent / "traces"
VOTES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 40)
GRIDS: Mapping[str, tuple[str, Sequence[float]]] = {
    FIXED: ("samples", VOTES),
    TUNED: ("threshold", (0.6, 0.8, 0.87, 0.9, 0.95, 0.98, 0.995)),
    "early_stopping": ("window", (2, 3, 4, 5, 8)),
    "ppr": ("delta", (0.9, 0.5, 0.2, 0.05)),
    "blend": ("error", (0.3, 0.2, 0.1, 0.05, 0.02)),
    "bayesian_stopping": ("error", (0.3, 0.2, 0.1, 0.05, 0.02)),
}
"""Peers and the one option of theirs that is tuned."""
OWN = (0.0001, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.014, 0.02, 0.03, 0.04, 0.06, 0.08)
PRICES: Mapping[str, Sequence[float]] = {
    "difficulty_knapsack": (0.0005, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08),
    OURS: OWN,
    KNOWN: OWN,
    IN_ROUNDS: (0.0005, 0.002, 0.005),
}
"""Accuracy that a mean chain must buy."""
ROUNDS = (2.0, 8.0)
"""What it is worth not to wait for one more round, in mean chains."""
ONE_BY_ONE = {TUNED, "ppr", "blend", "bayesian_stopping"}
FAMILIES = (*GRIDS, *PRICES)


def settings(families: Sequence[str], mean_tokens: float, *, quick: bool) -> list[VoteSetting]:
    """All settings to compare; prices are set for a class whose chains are so long."""
    chosen = []
    for family in families:
        option, grid = GRIDS.get(family, ("", ()))
        for value in thinned(grid, quick):
            options: dict[str, object] = {option: value}
            if family in ONE_BY_ONE:
                options["samples_per_round"] = 1
            chosen.append(
                VoteSetting(family, f"{family} {option}={value:g}", build(family, **options))
            )
        for part in thinned(PRICES.get(family, ()), quick):
            for chains in (ROUNDS[-1:] if quick else ROUNDS) if family == IN_ROUNDS else (0.0,):
                label = f"{family} price={part:g}/chain" + (f" round={chains:g}" * (chains > 0))
                policy, price = _learner(family), part / mean_tokens
                rounds = chains * mean_tokens
                chosen.append(VoteSetting(family, label, policy, price=price, round_tokens=rounds))
    return chosen


def _learner(family: str) -> Policy:
    if family not in (OURS, IN_ROUNDS, KNOWN):
        return build(family)
    explores = {"exploration": 0.0} if family == KNOWN else {}
    # Only votes were recorded.
    return build("priced", max_samples=max(VOTES), max_extensions=0, **explores)


def thinned(grid: Sequence[float], quick: bool) -> Sequence[float]:
    """A quick run takes every second one, the last, and those that others are held against."""
    if not quick or len(grid) < 5:
        return grid
    kept = {*grid[::2], grid[-1], 0.95, 16}
    return [value for value in grid if value in kept]


def mean_tokens(traces: Sequence[VoteTrace]) -> float:
    """Of one chain, each class counting the same."""
    means = [
        np.mean([chain.tokens for chains in trace.questions for chain in chains])
        for trace in traces
    ]
    return max(1.0, float(np.mean(means)))


def replay_all(
    traces: Sequence[VoteTrace],
    families: Sequence[str],
    *,
    seeds: int,
    queries: int,
    quick: bool,
) -> Iterator[tuple[str, ComparisonRun]]:
    """Each class alone, then all mixed; settings that learn nothing are replayed once for both."""
    streams = [
        [arrivals(trace, queries, Random(f"{seed}/{trace.query_class}")) for trace in traces]
        for seed in range(seeds)
    ]
    everything = [known(trace) if KNOWN in families else None for trace in traces]
    unlearned: dict[tuple[str, float, int, int], Floats] = {}

    def alone(setting: VoteSetting, number: int, seed: int) -> Floats:
        """One class under a setting that learns nothing."""
        key, stream = (setting.label, setting.price, number, seed), streams[seed][number]
        if key not in unlearned:
            votes = everything[number] if setting.family == KNOWN else None
            unlearned[key] = _table(
                replay_known(setting, stream, votes) if votes else replay(setting, stream, seed)
            )
        return unlearned[key]

    scopes = [(trace.query_class, [number]) for number, trace in enumerate(traces)]
    scopes += [(MIXED, list(range(len(traces))))] if len(traces) > 1 else []
    for scope, members in scopes:
        mean = mean_tokens([traces[n] for n in members])
        chosen = settings(families, mean, quick=quick)
        tables = []
        with progress(scope, len(chosen) * seeds) as bar:
            for setting in chosen:
                parts = []
                for seed in range(seeds):
                    if setting.learns:
                        parts.append(_learned(setting, [streams[seed][n] for n in members], seed))
                    else:
                        parts += [alone(setting, n, seed) for n in members]
                    bar.advance(setting.label)
                tables.append(np.concatenate(parts))
        yield scope, ComparisonRun(chosen, np.stack(tables), _sample(streams, members))


def _learned(setting: VoteSetting, classes: Sequence[Sequence[VoteArrival]], seed: int) -> Floats:
    """VoteResult in the order of the mixed stream, class by class."""
    stream = mixed(classes, Random(seed))
    table = _table(replay(setting, stream, seed))
    names = [arrival.query.query_class for arrival in stream]
    return np.concatenate(
        [
            table[[place for place, name in enumerate(names) if name == one[0].query.query_class]]
            for one in classes
        ]
    )


def _table(outcomes: Sequence[VoteResult]) -> Floats:
    return np.array([(one.right, one.tokens, one.longest) for one in outcomes], dtype=np.float64)


def _sample(
    streams: Sequence[Sequence[Sequence[VoteArrival]]], members: Sequence[int]
) -> QuerySample:
    rows = [
        (number, arrival.question, seed)
        for seed, classes in enumerate(streams)
        for number in members
        for arrival in classes[number]
    ]
    return QuerySample(*np.array(rows).T)


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--traces", type=click.Path(path_type=Path), default=TRACES, show_default=False)
@click.option("--policies", "names", default=",".join(FAMILIES), help="Comma-separated families.")
@click.option("--seeds", default=3, type=click.IntRange(1, 1000))
@click.option("--queries", default=1000, type=click.IntRange(20), help="Of each class, each seed.")
@click.option("--quick", is_flag=True, help="One seed, 100 queries, half of the settings.")
def main(traces: Path, names: str, seeds: int, queries: int, quick: bool) -> None:
    families = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in families if name not in FAMILIES]:
        raise click.UsageError(f"unknown policies {unknown}; there are {', '.join(FAMILIES)}")
    families = [FIXED, *(name for name in families if name != FIXED)]
    try:
        recorded = load_recordings(traces)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    for name in recorded.skipped:
        print(f"{name}: no trace, skipped", file=sys.stderr)
    for trace in recorded.prefixes:
        print(f"{trace.query_class}: a prefix trace, for benchmarks.prefixes", file=sys.stderr)
    if not recorded.votes:
        raise click.UsageError(f"{traces}: no vote traces; python -m benchmarks.record_traces")
    if quick:
        seeds, queries = 1, min(queries, 100)
    reached = [
        goal
        for scope, run in replay_all(
            recorded.votes, families, seeds=seeds, queries=queries, quick=quick
        )
        for goal in goals(scope, run)
    ]
    print()
    for goal in reached:
        print(goal)
    report({goal.name: goal.as_dict() for goal in reached})


if __name__ == "__main__":
    main()
