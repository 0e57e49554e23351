"""The published stopping rules, each on votes where its answer is known."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.base import Draw, Policy, Query, Situation, Stop
from policies.bayesian_stopping import BayesianStopping
from policies.blend import Blend
from policies.curves.class_statistics import ClassStatistics
from policies.curves.curve import ClassCurve, fit
from policies.curves.observation import Observation
from policies.difficulty import DifficultyKnapsack
from policies.early_stopping import EarlyStopping
from policies.plan import Budget
from policies.ppr import PriorPosteriorRatio, log_ratio
from policies.tally import Tally, Vote


def votes(answers: str) -> tuple[Vote, ...]:
    """One letter an answer; a dot is a chain that gave none."""
    return tuple(
        Vote(chain, None if given == "." else given, 10, 8) for chain, given in enumerate(answers)
    )


def decide(policy: Policy, answers: str, curve: ClassCurve | None = None) -> Draw | Stop:
    situation = Situation(Query("q", ()), Tally(votes(answers)), 500, curve)
    decision = policy.decide(situation, Random(0))
    assert isinstance(decision, Draw | Stop)
    return decision


def samples(decision: Draw | Stop) -> int:
    assert isinstance(decision, Draw)
    return decision.samples


def learned(histories: list[str], *, price: float = 1e-3) -> ClassCurve:
    statistics = ClassStatistics()
    for answers in histories:
        right = {answer: answer == "a" for answer in answers}
        statistics.observe(Observation("class", votes(answers), Budget(100), None, right=right))
    return fit(statistics, price=price)


ALIKE = learned(["aaaaaaaa"] * 60)
SPLIT = learned(["aabacaad", "abaacaab", "babaacaa"] * 20)


def test_a_unanimous_window_stops_and_a_broken_one_opens_the_next() -> None:
    policy = EarlyStopping(window=3)
    assert samples(decide(policy, "")) == 3
    assert samples(decide(policy, "aa")) == 1
    assert decide(policy, "aaa") == Stop("settled")
    assert samples(decide(policy, "aba")) == 3
    assert samples(decide(policy, "aaba")) == 2
    assert decide(policy, "abaaaa") == Stop("settled")


def test_equal_votes_across_two_windows_are_no_window() -> None:
    assert samples(decide(EarlyStopping(window=3), "baaa")) == 2


def test_a_chain_without_an_answer_breaks_its_window() -> None:
    assert samples(decide(EarlyStopping(window=3), "aa.")) == 3


@pytest.mark.parametrize("name", ["early", "ppr", "blend", "bayes"])
def test_no_rule_goes_past_its_most_samples(name: str) -> None:
    policy = {
        "early": EarlyStopping(max_samples=5),
        "ppr": PriorPosteriorRatio(max_samples=5),
        "blend": Blend(max_samples=5),
        "bayes": BayesianStopping(max_samples=5),
    }[name]
    assert decide(policy, "abcde") == Stop("plan done")
    assert samples(decide(policy, "abcd")) == 1


def test_two_answers_need_as_many_equal_votes_as_the_martingale_says() -> None:
    """With b = 0 the density at one half is (a + 1) / 2^a; at 5 % and two answers a must be 8."""
    policy = PriorPosteriorRatio(answers=2)
    assert samples(decide(policy, "aaaaaaa")) == 4
    assert decide(policy, "aaaaaaaa") == Stop("settled")


def test_more_possible_answers_need_more_votes() -> None:
    assert isinstance(decide(PriorPosteriorRatio(answers=50), "aaaaaaaa"), Draw)


def test_a_tie_is_never_settled() -> None:
    for policy in (PriorPosteriorRatio(delta=0.99, answers=2), Blend(error=0.99)):
        assert isinstance(decide(policy, "ab"), Draw)


@given(st.integers(0, 20), st.integers(0, 20))
def test_the_ratio_is_a_martingale_under_a_fair_coin(leader: int, runner_up: int) -> None:
    """Where both answers are equally likely, the inverse ratio's mean does not change."""
    now = 2.0 ** -log_ratio_bits(leader, runner_up)
    after = [2.0 ** -log_ratio_bits(leader + 1, runner_up)]
    after.append(2.0 ** -log_ratio_bits(leader, runner_up + 1))
    assert sum(after) / 2 == pytest.approx(now)


def log_ratio_bits(leader: int, runner_up: int) -> float:
    return log_ratio(leader, runner_up) / 0.6931471805599453


@pytest.mark.parametrize("seed", range(3))
def test_the_martingale_rule_names_a_wrong_mode_less_often_than_delta(seed: int) -> None:
    rng, policy, wrong = (
        Random(seed),
        PriorPosteriorRatio(answers=3, delta=0.2, samples_per_round=1),
        0,
    )
    for _ in range(100):
        answers = ""
        while isinstance(decide(policy, answers), Draw):
            answers += rng.choices("abc", (0.45, 0.35, 0.2))[0]
        settled = decide(policy, answers) == Stop("settled")
        wrong += settled and Tally(votes(answers)).leader != "a"
    assert wrong <= 20


def test_the_blend_begins_bold_and_ends_sound() -> None:
    few, many = Blend(max_samples=40), Blend(max_samples=4)
    assert decide(few, "aaaaa") == Stop("settled")
    assert isinstance(decide(many, "aaa"), Draw)
    assert Blend(max_samples=40).settled(
        Situation(Query("q", ()), Tally(votes("a" * 5)), 500)
    ) and not Blend(max_samples=6).settled(Situation(Query("q", ()), Tally(votes("a" * 5)), 500))


def test_what_was_learned_settles_a_vote_that_is_open_without() -> None:
    policy = BayesianStopping(error=0.1)
    assert isinstance(decide(policy, "aa"), Draw)
    assert decide(policy, "aa", ALIKE) == Stop("settled")
    assert isinstance(decide(policy, "ab", SPLIT), Draw)


def test_a_stricter_error_needs_no_fewer_votes() -> None:
    for answers in ("a", "aa", "aab", "aaab", "aaaa"):
        strict, loose = (
            decide(BayesianStopping(error=error), answers, SPLIT) for error in (0.01, 0.3)
        )
        assert isinstance(strict, Draw) or isinstance(loose, Stop)


def test_difficulty_is_judged_once_by_two_pilots() -> None:
    policy = DifficultyKnapsack(price=1e-3)
    assert samples(decide(policy, "", SPLIT)) == 2
    assert decide(policy, "aa", ALIKE) == Stop("plan done")
    more = samples(decide(policy, "ab", SPLIT))
    assert more > 0
    assert samples(decide(policy, "abb", SPLIT)) == more - 1, "the number is fixed by the pilots"


def test_the_dearer_a_token_the_fewer_votes_a_difficult_question_gets() -> None:
    drawn = []
    for price in (1e-5, 1e-3, 5e-2):
        decision = decide(DifficultyKnapsack(price=price), "ab", SPLIT)
        drawn.append(decision.samples if isinstance(decision, Draw) else 0)
    assert drawn == sorted(drawn, reverse=True) and drawn[0] > drawn[-1]


def test_without_a_curve_the_pilots_are_all() -> None:
    assert decide(DifficultyKnapsack(), "ab") == Stop("plan done")


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, float("nan"), float("inf")])
def test_an_option_that_is_no_chance_is_refused_and_named(value: float) -> None:
    with pytest.raises(ValueError, match="^delta must be in"):
        PriorPosteriorRatio(delta=value)
    for policy in (Blend, BayesianStopping):
        with pytest.raises(ValueError, match="^error must be in"):
            policy(error=value)
    with pytest.raises(ValueError, match="^price must be in"):
        DifficultyKnapsack(price=value)


def test_sizes_that_are_none_are_refused_and_named() -> None:
    with pytest.raises(ValueError, match="^window must be"):
        EarlyStopping(window=0)
    with pytest.raises(ValueError, match="^answers must be"):
        PriorPosteriorRatio(answers=1)
    with pytest.raises(ValueError, match="^max_samples must be"):
        DifficultyKnapsack(max_samples=1)
    with pytest.raises(ValueError, match="^temperature must be"):
        Blend(temperature=0.0)
