"""A replay asks a policy as the scheduler does, and compares all on the same draws."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.comparison import LEVELS
from benchmarks.frontier import QuerySample, SettingMean, estimate, tokens_at, weights
from benchmarks.policies import main
from benchmarks.replay import (
    VoteSetting,
    arrivals,
    known,
    mixed,
    replay,
    replay_known,
    replay_query,
)
from policies import build
from policies.adaptive_consistency import AdaptiveConsistency
from policies.majority import Majority
from scheduler.experiments.recordings import Sampled, VoteTrace


def trace(
    name: str = "sums", *, questions: int = 20, samples: int = 10, seed: int = 0
) -> VoteTrace:
    """Half of the questions are easy; the right answer is "r"."""
    rng = Random(seed)
    asked = []
    for number in range(questions):
        share = 0.95 if number % 2 else 0.6
        answers = ["r" if rng.random() < share else rng.choice("abcdef") for _ in range(samples)]
        asked.append(
            tuple(Sampled(rng.randint(50, 100), answer, answer == "r") for answer in answers)
        )
    return VoteTrace(name, tuple(asked))


def setting(policy: AdaptiveConsistency | Majority) -> VoteSetting:
    return VoteSetting(policy.name, policy.name, policy)


def test_every_question_comes_up_once_before_any_comes_up_twice() -> None:
    stream = arrivals(trace(), 50, Random(1))
    asked = [arrival.question for arrival in stream]
    assert sorted(asked[:20]) == sorted(asked[20:40]) == list(range(20))
    assert asked[:20] != asked[20:40]
    assert {chain.tokens for chain in stream[0].chains} == {
        sample.tokens for sample in trace().questions[asked[0]]
    }


def test_a_majority_pays_for_its_chains_and_votes() -> None:
    (asked,) = arrivals(trace(questions=1), 1, Random(2))
    result, observation = replay_query(setting(Majority(5)), asked, Random(0))
    assert result.tokens == sum(vote.tokens for vote in asked.chains[:5])
    assert result.rounds == 1
    assert result.longest == max(vote.tokens for vote in asked.chains[:5])
    assert observation.history == asked.chains[:5]


def test_a_round_that_is_stopped_early_is_paid_for_in_full() -> None:
    easy = [asked for asked in arrivals(trace(), 20, Random(0)) if asked.question % 2]
    asked = next(asked for asked in easy if {b.answer for b in asked.chains[:3]} == {"r"})
    policy = AdaptiveConsistency(0.8, samples_per_round=8)
    result, observation = replay_query(setting(policy), asked, Random(0))
    assert len(observation.history) < 8
    assert result.tokens == sum(vote.tokens for vote in asked.chains[:8])


def test_when_the_recorded_chains_are_used_up_the_vote_so_far_has_to_do() -> None:
    (asked,) = arrivals(trace(questions=1, samples=3), 1, Random(2))
    result, observation = replay_query(setting(Majority(40)), asked, Random(0))
    assert len(observation.history) == 3 and result.rounds == 1


def test_a_mixed_stream_keeps_the_order_within_a_class() -> None:
    streams = [arrivals(trace(name), 30, Random(name)) for name in ("a", "b")]
    stream = mixed(streams, Random(3))
    for one in streams:
        name = one[0].query.query_class
        assert [asked for asked in stream if asked.query.query_class == name] == one
    classes = [asked.query.query_class for asked in stream]
    assert classes != sorted(classes)


def test_a_learning_policy_sees_labels_of_a_tenth_of_its_queries_only() -> None:
    stream = arrivals(trace(questions=100), 2000, Random(4))
    share = sum(asked.labelled for asked in stream) / len(stream)
    assert share == pytest.approx(0.1, abs=0.03)
    labelled = next(asked for asked in stream if asked.labelled)
    silent = next(asked for asked in stream if not asked.labelled)
    assert replay_query(setting(Majority(3)), labelled, Random(0))[1].right
    assert not replay_query(setting(Majority(3)), silent, Random(0))[1].right


def test_priced_spends_less_where_tokens_are_dearer() -> None:
    stream = arrivals(trace(), 60, Random(5))
    spent = []
    for price in (1e-6, 1e-4, 1e-2):
        policy = build("priced", max_extensions=0, max_samples=40)
        outcomes = replay(VoteSetting("ours", "", policy, price), stream, 0)
        spent.append(sum(one.tokens for one in outcomes))
    assert spent == sorted(spent, reverse=True) and spent[0] > 1.5 * spent[-1]


def test_who_knows_the_votes_beforehand_spends_nothing_on_learning() -> None:
    sums = trace()
    stream, worth, price = arrivals(sums, 200, Random(5)), [], 1e-3
    for options in ({}, {"exploration": 0.0}):
        policy = build("priced", max_extensions=0, max_samples=40, **options)
        asked = VoteSetting("ours", "", policy, price)
        outcomes = replay_known(asked, stream, known(sums)) if options else replay(asked, stream, 0)
        worth.append(sum(one.right - price * one.tokens for one in outcomes))
    assert known(sums).plans.votes["length"].labelled == len(sums.questions)
    assert worth[1] > worth[0]


def test_a_mix_of_two_settings_is_a_setting() -> None:
    settings = [SettingMean(0.5, 100), SettingMean(0.9, 300), SettingMean(0.6, 290)]
    assert tokens_at(settings, 0.7) == pytest.approx(200)
    assert tokens_at(settings, 0.4) == 100
    assert tokens_at(settings, 0.95) == float("inf")


def test_the_bootstrap_weighs_classes_alike_and_draws_questions_and_seeds() -> None:
    classes = np.array([0] * 8 + [1] * 2)
    sample = QuerySample(classes, np.array([0, 0, 1, 1, 2, 2, 3, 3, 0, 1]), np.array([0, 1] * 5))
    drawn = weights(sample, 50, np.random.default_rng(0))
    assert drawn[0] == pytest.approx([1 / 16] * 8 + [1 / 4] * 2)
    assert drawn.sum(axis=1) == pytest.approx(1.0)
    assert not np.allclose(drawn[1], drawn[2])


def test_an_estimate_is_the_first_value_with_quantiles_of_the_rest() -> None:
    middle, low, high = estimate([5.0, *range(1, 101)])
    assert (middle, low, high) == (5.0, 3.0, 98.0)


@pytest.mark.slow
def test_the_benchmark_ends_with_its_goals_as_json_and_names_what_is_missed(tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        rows = [
            f"{question},{number},{sample.tokens},{sample.answer},{int(sample.right)}"
            for question, chains in enumerate(trace(name, seed=len(name)).questions)
            for number, sample in enumerate(chains)
        ]
        text = "\n".join(["qid,sid,length,answer,correct", *rows])
        (tmp_path / f"{name}.csv").write_text(text)
    names = "majority,adaptive_consistency,ours,ours_known,ours_in_rounds"
    options = ["--traces", str(tmp_path), "--quick", "--queries", "20", "--policies", names]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    goals = json.loads(lines[-1])
    assert {"mixed: tokens over fixed majority", "mixed: tokens over the best tuned peer"} <= set(
        goals
    )
    assert sum(name.startswith(("alpha:", "beta:")) for name in goals) == 8
    assert "mixed: time of rounds over 16 votes at once" in goals
    for goal in goals.values():
        value = goal["value"]
        assert goal["met"] is (value is not None and value <= goal["goal"])
    assert len(LEVELS) >= 3
    assert any(line.startswith("alpha: 20 queries") for line in lines)
    for peer in ("majority", "best peer"):
        assert sum(line.startswith(f"  ours_known: {peer}") for line in lines) == 3


def test_without_traces_the_benchmark_says_how_to_record_some(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--traces", str(tmp_path)])
    assert result.exit_code == 2 and "python -m benchmarks.record_traces" in result.output


def test_an_unknown_policy_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--traces", str(tmp_path), "--policies", "magic"])
    assert result.exit_code == 2 and "magic" in result.output
