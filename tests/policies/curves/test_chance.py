"""How likely an answer is right, once the query is over, is what the class's curve says."""

from dataclasses import replace

import pytest

from policies.curves.chance import chance_right, next_extension
from policies.curves.class_statistics import ClassStatistics
from policies.curves.curve import fit
from policies.curves.observation import Observation
from policies.curves.plans.settings import ChainSetting
from policies.plan import Budget, Plan
from policies.tally import Tally, Vote

BUDGET = Budget(1000)
EXTENSIONS, VOTES = Plan("extensions", BUDGET, 0.0), Plan("votes", BUDGET, None)


def extensions(answers: str) -> tuple[Vote, ...]:
    return tuple(Vote(0, a, 50 * (w + 1), 44 * (w + 1), w) for w, a in enumerate(answers))


def votes(answers: str) -> tuple[Vote, ...]:
    return tuple(Vote(chain, a, 50, 44) for chain, a in enumerate(answers))


def learned() -> ClassStatistics:
    """Answers that stay are right, those that are given up or outvoted are not."""
    statistics, right = ClassStatistics(), {"a": True, "b": False, "c": False}
    for _ in range(40):
        for answers in ("aa", "aa", "ba"):
            statistics.observe(
                Observation("c", extensions(answers), BUDGET, 0.0, EXTENSIONS, right)
            )
        for answers in ("aaa", "bca", "bbc"):
            statistics.observe(Observation("c", votes(answers), BUDGET, None, VOTES, right))
    return statistics


CURVE = fit(learned(), price=3e-4)


def test_votes_that_agree_are_likelier_right_than_votes_that_do_not() -> None:
    alike = chance_right(CURVE, VOTES, Tally(votes("aaa")))
    apart = chance_right(CURVE, VOTES, Tally(votes("bca")))
    assert alike is not None and apart is not None
    assert 0 <= apart < 0.5 < 0.8 < alike <= 1


def test_an_answer_that_stayed_is_likelier_right_than_a_first_one() -> None:
    first = chance_right(CURVE, EXTENSIONS, Tally(extensions("a")))
    stayed = chance_right(CURVE, EXTENSIONS, Tally(extensions("aa")))
    assert first is not None and stayed is not None
    assert first < stayed


def test_a_chain_that_was_forced_on_in_one_go_is_as_right_as_its_waits_make_it() -> None:
    assert CURVE.extension is not None
    at_once = Tally((replace(extensions("aa")[1]),))
    assert chance_right(CURVE, EXTENSIONS, at_once) == CURVE.extension.accuracy[1]


def test_a_cut_chain_is_as_right_as_its_cap_lets_it() -> None:
    assert CURVE.length is not None
    plan = Plan("cap", Budget(16), 0.0)
    chance = chance_right(CURVE, plan, Tally(extensions("a")))
    assert chance == pytest.approx(CURVE.length.at(16).accuracy)


def test_no_answer_is_never_right() -> None:
    assert chance_right(CURVE, VOTES, Tally()) == 0.0


def test_without_a_curve_nobody_can_tell() -> None:
    assert chance_right(None, VOTES, Tally(votes("a"))) is None
    assert chance_right(CURVE, None, Tally(votes("a"))) is None
    only_extensions = replace(CURVE, votes=None)
    assert chance_right(only_extensions, VOTES, Tally(votes("a"))) is None


def test_what_one_more_extension_would_bring_is_told_of_answers_that_the_model_came_to() -> None:
    plan = Plan("extend", BUDGET, 0.0, setting=ChainSetting("extend", 3e-4))
    (end,) = extensions("a")
    assert next_extension(CURVE, plan, Tally((end,))) is not None
    for other in (replace(end, answer=None), replace(end, stop_cause="max_thinking")):
        assert next_extension(CURVE, plan, Tally((other,))) is None


def test_what_an_exploration_run_misses_corrects_no_prediction() -> None:
    served = Observation("c", votes("a"), BUDGET, None, VOTES, {"a": True}, chance=0.7)
    explored = replace(served, plan=replace(VOTES, is_exploration=True))
    assert (served.predicted, explored.predicted) == (0.7, None)
    assert explored.chance == 0.7
