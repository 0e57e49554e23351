"""What a run of the policies shows: tokens at equal accuracy, with intervals, and goals.

Accuracies to compare at lie between that of one vote and that of the best fixed majority, at the
shares in `LEVELS`; a goal on tokens is held against the worst of them. With every peer counts the
setting that asks once. Time is the length of the longest chain of every round, added up.

`ours_known` is ours with nothing to learn: what lies between the two is the price of
learning, and a goal that it misses is not to be reached by learning faster.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.frontier import (
    Estimate,
    Floats,
    Goal,
    QuerySample,
    SettingMean,
    estimate,
    figure,
    tokens_at,
    weights,
)
from benchmarks.replay import VoteSetting

LEVELS = (0.5, 0.75, 0.9)
REPLICATES = 300
MIXED = "mixed"
FIXED, TUNED, OURS, IN_ROUNDS = "majority", "adaptive_consistency", "ours", "ours_in_rounds"
KNOWN = "ours_known"
ALONE = (FIXED, OURS, KNOWN)
"""Families that ask once anyway."""
DEFAULT = f"{TUNED} threshold=0.95"
ALL_AT_ONCE = f"{FIXED} samples=16"
LOSS = 0.002
"""What may be lost against one setting of a peer: one answer in five hundred."""


class ComparisonRun(NamedTuple):
    """One stream under many settings; `table` by setting, query, and (right, tokens, time)."""

    settings: Sequence[VoteSetting]
    table: Floats
    sample: QuerySample


def replicated(run: ComparisonRun) -> list[dict[str, list[SettingMean]]]:
    """Accuracy and tokens of every setting by family: as it is, then by bootstrap replicate."""
    drawn = weights(run.sample, REPLICATES + 1, np.random.default_rng(0))
    means = np.einsum("bq,sqv->bsv", drawn, run.table, optimize=True)
    replicates = []
    for each in means:
        families: dict[str, list[SettingMean]] = {}
        for setting, (accuracy, tokens, _) in zip(run.settings, each, strict=True):
            families.setdefault(setting.family, []).append(SettingMean(accuracy, tokens))
        once = families[FIXED][0]
        replicates.append(
            {
                family: points if family in ALONE else [once, *points]
                for family, points in families.items()
                if family != IN_ROUNDS
            }
        )
    return replicates


def levels(fixed: Sequence[SettingMean]) -> list[float]:
    """Accuracies to compare at."""
    once, best = fixed[0].accuracy, max(point.accuracy for point in fixed)
    return [once + level * (best - once) for level in LEVELS]


def against(
    replicates: Sequence[dict[str, list[SettingMean]]], peers: Sequence[str], ours: str = OURS
) -> list[Estimate]:
    """Tokens of ours over those of the best of these peers: at each level, then the worst."""
    ratios = []
    for families in replicates:
        row = [
            _ratio(
                tokens_at(families[ours], accuracy),
                min(tokens_at(families[peer], accuracy) for peer in peers),
            )
            for accuracy in levels(families[FIXED])
        ]
        ratios.append([*row, max(row)])
    return [estimate(column) for column in zip(*ratios, strict=True)]


def _ratio(ours: float, theirs: float) -> float:
    """Not to be reached by us is the worst there is; by them alone, the best."""
    return ours / theirs if np.isfinite(ours) else np.inf


def against_default(
    run: ComparisonRun, replicates: Sequence[dict[str, list[SettingMean]]]
) -> list[Estimate]:
    """Against adaptive consistency's own threshold: at its accuracy, and at a little less."""
    place = [s.label for s in run.settings if s.family == TUNED].index(DEFAULT)
    ratios = []
    for families in replicates:
        default = families[TUNED][1 + place]
        ratios.append(
            [
                tokens_at(families[OURS], default.accuracy - loss) / default.tokens
                for loss in (0.0, LOSS)
            ]
        )
    return [estimate(column) for column in zip(*ratios, strict=True)]


def goals(scope: str, run: ComparisonRun) -> Iterator[Goal]:
    """Print how a scope went, and yield what was to be reached in it."""
    replicates = replicated(run)
    families = [family for family in replicates[0] if family not in (OURS, KNOWN)]
    _show_points(scope, run, replicates[0])
    if OURS not in replicates[0]:
        return
    ratios = {family: against(replicates, [family]) for family in families}
    ratios["best peer"] = against(replicates, families)
    if KNOWN in replicates[0]:
        for name, peers in (FIXED, [FIXED]), ("best peer", families):
            ratios[f"{KNOWN}: {name}"] = against(replicates, peers, KNOWN)
    _show_ratios(ratios)
    if IN_ROUNDS in {setting.family for setting in run.settings}:
        tokens, time = in_rounds(run)
        yield Goal(f"{scope}: tokens of rounds over 16 votes, 0.2 points less", tokens, 0.5)
        yield Goal(f"{scope}: time of rounds over 16 votes at once", time, 1.2)
    if scope == MIXED:
        yield Goal("mixed: tokens over fixed majority", ratios[FIXED][-1], 0.45)
        yield Goal("mixed: tokens over the best tuned peer", ratios["best peer"][-1], 0.75)
    elif TUNED in ratios:
        equal, nearly = against_default(run, replicates)
        print(f"  {DEFAULT}: {figure(equal)} at its accuracy, {figure(nearly)} at 0.2 points less")
        yield Goal(f"{scope}: tokens over tuned {TUNED}", ratios[TUNED][-1], 1.05)
        yield Goal(f"{scope}: tokens over {TUNED}'s default, 0.2 points less", nearly, 0.75)


def in_rounds(run: ComparisonRun) -> tuple[Estimate, Estimate]:
    """Tokens and time of the best setting in rounds, over those of 16 votes sent all at once.

    The best has at most `LOSS` less accuracy, and is the nearest to its two goals.
    """
    drawn = weights(run.sample, REPLICATES + 1, np.random.default_rng(0))
    means = np.einsum("bq,sqv->bsv", drawn, run.table, optimize=True)
    labels = [setting.label for setting in run.settings]
    rounds = [place for place, setting in enumerate(run.settings) if setting.family == IN_ROUNDS]
    ratios = []
    for each in means:
        accuracy, tokens, time = each[labels.index(ALL_AT_ONCE)]
        found = [
            (each[place, 1] / tokens, each[place, 2] / time)
            for place in rounds
            if each[place, 0] >= accuracy - LOSS
        ]
        ratios.append(min(found, key=lambda pair: max(pair[0] / 0.5, pair[1] / 1.2), default=None))
    columns = [[np.inf if r is None else float(r[part]) for r in ratios] for part in (0, 1)]
    return estimate(columns[0]), estimate(columns[1])


def _show_points(
    scope: str, run: ComparisonRun, families: Mapping[str, Sequence[SettingMean]]
) -> None:
    at = levels(families[FIXED])
    print(f"\n{scope}: {run.table.shape[1]} queries a setting; tokens a query")
    print(f"  {'at an accuracy of':24}" + "".join(f"{accuracy:>10.4f}" for accuracy in at))
    for family, points in families.items():
        reached = [tokens_at(points, accuracy) for accuracy in at]
        cells = [f"{tokens:>10.0f}" if np.isfinite(tokens) else f"{'-':>10}" for tokens in reached]
        print(f"  {family:24}" + "".join(cells))


def _show_ratios(ratios: Mapping[str, Sequence[Estimate]]) -> None:
    print("  tokens of ours over those of (95 % interval)")
    for family, row in ratios.items():
        print(f"  {family:24}" + "".join(f"{figure(each):>22}" for each in row[:-1]))
