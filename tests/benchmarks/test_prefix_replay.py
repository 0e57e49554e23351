"""Chains with forced answers are replayed as the scheduler would run them."""

import json
import math
from pathlib import Path
from random import Random

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.cells import FIXED, Part, levels, ratios, replicated
from benchmarks.frontier import SettingMean
from benchmarks.prefix_replay import (
    Costs,
    PrefixCourse,
    PrefixSetting,
    arrivals,
    replay,
    replay_chain,
    thinned,
)
from benchmarks.prefixes import main
from policies import build
from policies.priced import Priced
from scheduler.experiments.recordings import Prefix, PrefixTrace, Traced

COSTS = Costs(trial=10, answer=3)
CHAIN = Traced(
    "q",
    1000,
    tuple(
        Prefix(tokens, answer, probability, answer == "r")
        for tokens, answer, probability in (
            (0, "x", 0.1),
            (100, "x", 0.2),
            (200, "r", 0.5),
            (400, "r", 0.97),
            (800, "r", 0.9),
            (1000, "w", 0.4),
        )
    ),
)
TRACE = PrefixTrace("sums", (CHAIN,))


OURS = Priced(max_samples=1, max_extensions=0)


def played(name: str, **options: object) -> tuple[bool, int, PrefixCourse]:
    setting = PrefixSetting(name, name, OURS if name == "priced" else build(name, **options))
    (right, tokens), shown = replay_chain(setting, TRACE, CHAIN, Random(0), None, COSTS)
    return right, tokens, shown


def trace(chains: int = 60, *, seed: int = 0) -> PrefixTrace:
    """Chains find the right answer somewhere on their way, and keep it."""
    rng = Random(seed)
    recorded = []
    for number in range(chains):
        length = rng.randint(500, 4000)
        found = rng.random()
        prefixes = [
            Prefix(
                round(length * part / 10),
                "r" if part / 10 >= found else rng.choice("abc"),
                0.95 if part / 10 >= found else 0.3,
                part / 10 >= found,
            )
            for part in range(11)
        ]
        recorded.append(Traced(f"q{number // 4}", length, tuple(prefixes)))
    return PrefixTrace("sums", tuple(recorded))


def test_a_chain_that_nobody_concludes_answers_at_its_end() -> None:
    assert played("fixed")[:2] == (False, 1003)


@pytest.mark.parametrize(("cap", "right", "tokens"), [(399, True, 203), (150, False, 103)])
def test_a_cap_cuts_at_the_last_prefix_that_it_has_room_for(
    cap: int, right: bool, tokens: int
) -> None:
    assert played("fixed", max_thinking_tokens=cap)[:2] == (right, tokens)


def test_dynasor_pays_for_the_trials_that_it_asks_for() -> None:
    right, tokens, shown = played("dynasor", agree=2, probe_every=100)
    assert (right, tokens) == (True, 400 + 3 * 10 + 3)
    assert [probe.thinking_tokens for probe in shown.course.probes] == [100, 200, 400]
    assert shown.course.is_cut and not shown.is_exploration
    right, tokens, _ = played("dynasor", agree=2, probe_every=300)
    assert (right, tokens) == (True, 800 + 2 * 10 + 3)


def test_deer_is_asked_at_every_prefix_and_leaves_when_it_is_sure() -> None:
    assert played("deer", threshold=0.95)[:2] == (True, 400 + 3 * 10 + 3)
    assert played("deer", threshold=0.99)[:2] == (False, 1000 + 4 * 10 + 3)


def test_an_exploration_run_tells_all_its_trials_and_the_end() -> None:
    right, tokens, shown = played("priced")
    assert (right, tokens) == (False, 1000 + 4 * 10 + 3)
    assert shown.is_exploration and not shown.course.is_cut
    assert shown.course.ends[0].answer == "w"
    assert shown.truth("r") is True and shown.truth("x") is False


def test_a_policy_that_votes_is_refused() -> None:
    with pytest.raises(ValueError, match="one chain was recorded"):
        played("majority", samples=3)


def test_labels_come_for_a_tenth_of_the_queries() -> None:
    stream = arrivals(range(60), 3000, Random(0), 0.1)
    assert np.mean([asked.labelled for asked in stream]) == pytest.approx(0.1, abs=0.02)
    assert {asked.chain for asked in stream} == set(range(60))


def test_what_was_learned_saves_tokens_without_losing_answers() -> None:
    recorded = trace()
    stream = arrivals(range(60), 600, Random(1), 0.1)
    setting = PrefixSetting("priced", "", OURS, price=3e-4)
    outcomes, (plans, referenced) = replay(setting, recorded, stream, 0)
    assert referenced == pytest.approx(0.1, abs=0.04)
    assert plans is not None and plans.queries == pytest.approx(600, rel=0.1)
    right, tokens = np.mean(outcomes[300:], axis=0)
    assert right > 0.8
    assert tokens < 0.8 * np.mean([chain.tokens for chain in recorded.chains])


def test_a_replay_is_the_same_each_time() -> None:
    stream = arrivals(range(60), 100, Random(1), 0.5)
    setting = PrefixSetting("priced", "", OURS, price=1e-4)
    first, second = (replay(setting, trace(), stream, 3)[0] for _ in range(2))
    assert first == second


def test_thinning_keeps_the_ends_of_every_chain() -> None:
    (chain,) = thinned(TRACE, 0.0, Random(0)).chains
    assert [prefix.tokens for prefix in chain.prefixes] == [0, 1000]
    assert thinned(TRACE, 1.0, Random(0)) == TRACE


def part(ours: list[tuple[float, float]]) -> Part:
    """Two cells of ten queries each, every setting the same in both."""
    families = {
        FIXED: [(0.2, 100.0), (0.8, 1000.0)],
        "peer": [(0.2, 100.0), (0.8, 800.0)],
        "ours": ours,
    }
    sums = {
        name: np.array([[(10 * right, 10 * tokens)] * 2 for right, tokens in points])
        for name, points in families.items()
    }
    return Part("all", sums, np.array([10.0, 10.0]), [(0, 0), (0, 1)], {})


def test_levels_are_what_caps_reach_with_shares_of_their_tokens() -> None:
    fixed = [SettingMean(0.2, 100), SettingMean(0.8, 1000)]
    assert levels(fixed) == pytest.approx([0.4, 0.2 + 500 / 1500, 0.2 + 700 / 1500])


def test_ratios_compare_tokens_at_equal_accuracy() -> None:
    means = replicated(part([(0.2, 50.0), (0.8, 500.0)]))
    assert means[0]["ours"] == [SettingMean(0.2, 50.0), SettingMean(0.8, 500.0)]
    compared = ratios(part([(0.2, 50.0), (0.8, 500.0)]), "ours", ["peer"])
    assert [one.value for one in compared[FIXED]] == pytest.approx([0.5] * 4)
    assert compared["peer"][-1].value > 0.5
    missed = ratios(part([(0.3, 50.0)]), "ours", ["peer"])
    assert math.isinf(missed[FIXED][-1].value)


@pytest.mark.slow
def test_the_benchmark_ends_with_its_goals_in_json(tmp_path: Path) -> None:
    rows = ["qid,category,seed,decile,prefix_tokens,trace_tokens,pred,pred_prob,correct"]
    for number, chain in enumerate(trace(40).chains):
        rows += [
            f"{chain.question},c,{number},0,{p.tokens},{chain.tokens},{p.answer},"
            f"{p.probability},{int(p.right)}"
            for p in chain.prefixes
        ]
    (tmp_path / "sums.csv").write_text("\n".join(rows))
    options = ["--traces", str(tmp_path), "--quick", "--early", "200", "--late", "600"]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    goals = json.loads(lines[-1])
    assert len(goals) == 6
    (row,) = (n for n, line in enumerate(lines) if "rules known beforehand" in line)
    best = next(line for line in lines[row:] if line.startswith("priced")).split()[-3]
    assert float(best) == 1.0
    for goal in goals.values():
        assert goal["met"] == (goal["value"] is not None and goal["value"] <= goal["goal"])


def test_a_folder_without_prefix_traces_is_an_error_that_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--traces", str(tmp_path)])
    assert result.exit_code == 2 and "no prefix traces" in result.output
