"""`priced` on recorded chains, several a question: from cold, against settings in hindsight.

    python -m benchmarks.joint_prefixes --traces FOLDER [--seeds N] [--late N] [--quick]

Chains are those of prefix traces with at least `LEAST_CHAINS` a question; without a folder they are
simulated, which is no measure of a model. Questions come at random, their chains in random order; a
tenth brings its right answer. Fixed settings are all pairs of a cap and a number of votes. Peers
are Dynasor and DEER on one chain, ESC and adaptive consistency on whole and on capped chains, each
at its best setting in hindsight. Compared are tokens at equal accuracy, at the accuracies that
fixed settings reach with the shares `LEVELS` of the tokens of the best cap; settings may be mixed.

"known" is the same policy with curves from all chains, all checked, and nothing tried. The last
line is JSON: every goal, its value (the worst level), and whether it is met.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import click
import numpy as np

from benchmarks.cells import LEVELS, accuracy_at
from benchmarks.frontier import SettingMean, tokens_at
from benchmarks.goals import GoalResult, at_most, report
from benchmarks.joint_replay import (
    Costs,
    Everything,
    KnownCurve,
    KnownQuestion,
    ReplayResult,
    solve,
)
from benchmarks.populations.prefixes import simulated_trace
from benchmarks.prefix_replay import LABELLED, chain_end, probed
from benchmarks.replay import reference
from policies import build
from policies.base import Policy
from policies.curves.plans.counts import IsRight, PlanCounts
from policies.curves.plans.curve import fit_plans
from policies.plan import Budget
from policies.priced import Priced
from policies.signals import Probing
from scheduler.experiments.recordings import Prefix, PrefixTrace, Traced, load_recordings
from scheduler.progress import Progress, progress

LEAST_CHAINS = 4
PRICES = (0.01, 0.03, 0.06, 0.12, 0.2, 0.35, 0.6, 1.0)
"""Accuracy that a mean chain must buy."""
VOTES = (1, 3, 5, 10)
REPEATS = 20
"""How often a setting that does not learn meets every question."""
GOALS: Mapping[str, float] = {"fixed": 0.65, "peers": 0.80}
COSTS = Costs()


class RecordedChain(NamedTuple):
    chain: Traced

    @property
    def tokens(self) -> int:
        return self.chain.tokens

    def end(self, budget: Budget) -> Prefix:
        return chain_end(self.chain, budget)

    def trials(self, probing: Probing, budget: Budget) -> Iterator[Prefix]:
        yield from probed(self.chain, probing, budget)


def questions_of(trace: PrefixTrace) -> list[KnownQuestion]:
    """Those with several chains."""
    by_question: dict[str, list[Traced]] = {}
    for chain in trace.chains:
        by_question.setdefault(chain.question, []).append(chain)
    return [
        _question(trace.query_class, chains)
        for _, chains in sorted(by_question.items())
        if len(chains) >= LEAST_CHAINS
    ]


def _question(query_class: str, chains: Sequence[Traced]) -> KnownQuestion:
    right = {p.answer: p.right for c in chains for p in c.prefixes if p.answer is not None}
    truth = reference(answer for answer in right if right[answer])
    return KnownQuestion(query_class, truth, right, [RecordedChain(chain) for chain in chains])


def truth_of(asked: KnownQuestion, *, known: bool) -> IsRight:
    def truth(answer: str | None) -> bool | None:
        return asked.right.get(answer or "", False) if known else None

    return truth


def shuffled(asked: KnownQuestion, rng: Random) -> KnownQuestion:
    return asked._replace(chains=rng.sample(asked.chains, len(asked.chains)))


def peers(trace: PrefixTrace) -> dict[str, list[Policy]]:
    tokens = [prefix.tokens for chain in trace.chains for prefix in chain.prefixes]
    caps = sorted({int(cap) for cap in np.quantile(tokens, np.arange(0.05, 1, 0.1))})
    every = [*caps, None]
    return {
        "fixed": [
            build("majority", samples=votes, max_thinking_tokens=cap)
            for cap in every
            for votes in VOTES
        ],
        "dynasor": [
            build("dynasor", agree=agree, probe_every=apart)
            for agree in (2, 3, 4, 6)
            for apart in (512, 1024, 2048, 4096)
        ],
        "deer": [
            build("deer", threshold=threshold)
            for threshold in (0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999)
        ],
        "early_stopping": [
            build("early_stopping", window=window, max_samples=10, max_thinking_tokens=cap)
            for window in (2, 3, 5)
            for cap in every[::3]
        ],
        "adaptive_consistency": [
            build(
                "adaptive_consistency", threshold=threshold, max_samples=10, max_thinking_tokens=cap
            )
            for threshold in (0.6, 0.8, 0.95)
            for cap in every[::3]
        ],
    }


def mean_of(results: Sequence[ReplayResult]) -> SettingMean:
    right, tokens = np.mean([(result.right, result.tokens) for result in results], axis=0)
    return SettingMean(float(right), float(tokens))


def hindsight(policy: Policy, asked: Sequence[KnownQuestion]) -> SettingMean:
    rng = Random(0)
    return mean_of(
        [solve(policy, shuffled(q, rng), rng, COSTS) for q in asked for _ in range(REPEATS)]
    )


def learned(
    asked: Sequence[KnownQuestion], price: float, seed: int, late: int
) -> list[ReplayResult]:
    """A stream from a cold start; a class is refitted when a tenth has come in."""
    rng, policy = Random(f"joint {seed}"), Priced(max_extensions=0, max_samples=10)
    counts, curve, unfitted, labelled = PlanCounts(), KnownCurve(None), 0, 0
    results = []
    for _ in range(late):
        question, is_labelled = shuffled(rng.choice(asked), rng), rng.random() < LABELLED
        result = solve(policy, question, rng, COSTS, price=price, curve=curve, labelled=is_labelled)
        counts.observe(
            result.courses,
            truth_of(question, known=is_labelled),
            is_exploration=result.is_exploration,
        )
        results.append(result)
        unfitted, labelled = unfitted + 1, labelled + is_labelled
        if unfitted >= 0.1 * counts.queries:
            unfitted = 0
            joint = fit_plans(counts, prices=[price])
            curve = KnownCurve(joint, labelled / counts.queries)
    return results


def known(asked: Sequence[KnownQuestion], prices: Sequence[float]) -> list[SettingMean]:
    counts, rng = PlanCounts(), Random(0)
    for question in asked:
        result = solve(Everything(len(question.chains)), question, rng, COSTS)
        counts.observe(
            result.courses,
            truth_of(question, known=True),
            is_exploration=True,
        )
    policy = Priced(max_extensions=0, max_samples=10, exploration=0.0)
    points = []
    for price in prices:
        curve = KnownCurve(fit_plans(counts, prices=[price]))
        points.append(
            mean_of(
                [
                    solve(policy, shuffled(q, rng), rng, COSTS, price=price, curve=curve)
                    for q in asked
                    for _ in range(REPEATS)
                ]
            )
        )
    return points


def compared(
    trace: PrefixTrace, seeds: int, early: int, late: int, bar: Progress
) -> dict[str, GoalResult]:
    asked = questions_of(trace)
    whole = float(np.mean([chain.tokens for question in asked for chain in question.chains]))
    families: dict[str, list[SettingMean]] = {}
    for family, policies in peers(trace).items():
        families[family] = []
        for policy in policies:
            families[family].append(hindsight(policy, asked))
            bar.advance(family)
    prices = [part / whole for part in PRICES]
    knowing = known(asked, prices)
    parts: dict[str, list[SettingMean]] = {f"first {early}": [], f"all {late}": []}
    for price in prices:
        runs = []
        for seed in range(seeds):
            runs.append(learned(asked, price, seed, late))
            bar.advance("priced")
        parts[f"first {early}"].append(mean_of([one for run in runs for one in run[:early]]))
        parts[f"all {late}"].append(mean_of([one for run in runs for one in run]))
    at = [accuracy_at(families["fixed"], share * whole) for share in LEVELS]
    best = [min(tokens_at(points, a) for f, points in families.items() if f != "fixed") for a in at]
    fixed = [tokens_at(families["fixed"], a) for a in at]
    print(f"\n{trace.query_class}: {len(asked)} questions, {seeds} seeds; tokens at an accuracy of")
    print(" " * 24 + "".join(f"{accuracy:>10.4f}" for accuracy in at))
    for name, points in (families | parts | {"known": knowing}).items():
        print(f"{name:24}" + "".join(f"{tokens_at(points, a):>10.0f}" for a in at))
    goals = {}
    for name, points in (parts | {"known": knowing}).items():
        ours = [tokens_at(points, a) for a in at]
        for against, theirs in ("fixed", fixed), ("peers", best):
            ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
            print(f"{name} over {against}: " + ", ".join(f"{ratio:.2f}" for ratio in ratios))
            if name != "known":
                goals[f"{trace.query_class}, {name}: over {against}"] = at_most(
                    max(ratios), GOALS[against]
                )
    return goals


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--traces", type=click.Path(path_type=Path), help="Folder of prefix traces.")
@click.option("--seeds", default=3, type=click.IntRange(1, 1000))
@click.option("--early", default=1500, type=click.IntRange(20))
@click.option("--late", default=15_000, type=click.IntRange(60))
@click.option("--quick", is_flag=True, help="One seed, a tenth of the queries.")
def main(traces: Path | None, seeds: int, early: int, late: int, quick: bool) -> None:
    if traces is None:
        print("no --traces: simulated chains, which are no measure of a model", file=sys.stderr)
        recorded: Sequence[PrefixTrace] = [simulated_trace()]
    else:
        recorded = load_recordings(traces).prefixes
    if quick:
        seeds, early, late = 1, max(20, early // 10), max(60, late // 10)
    several = [trace for trace in recorded if questions_of(trace)]
    if not several:
        raise click.UsageError(f"{traces}: no trace has {LEAST_CHAINS} chains of a question")
    goals: dict[str, GoalResult] = {}
    for trace in several:
        steps = sum(map(len, peers(trace).values())) + seeds * len(PRICES)
        with progress(trace.query_class, steps) as bar:
            goals |= compared(trace, seeds, early, late, bar)
    report(goals)


if __name__ == "__main__":
    main()
