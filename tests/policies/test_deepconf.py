"""The surest chains vote, each as heavily as it is sure; later ones must be as sure."""

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import build
from policies.base import Draw, Query, Situation, Stop
from policies.deepconf import DeepConf, DeepConfOnline, threshold
from policies.plan import Budget
from policies.signals import Confidence, Signals
from policies.tally import Tally, Vote

AnswerAndConfidence = tuple[str | None, float | None]


def situation(*given: AnswerAndConfidence) -> Situation:
    votes = tuple(
        Vote(chain, answer, 60, 50, confidence=Confidence(0.0, sure, sure) if sure else None)
        for chain, (answer, sure) in enumerate(given)
    )
    return Situation(Query("q", ()), Tally(votes), 500)


def leader(where: Situation, stop: object) -> str | None:
    """What the scheduler would answer."""
    assert isinstance(stop, Stop) and stop.weights is not None
    return where.tally.weighed(dict(stop.weights)).leader


def test_all_chains_are_drawn_at_once_with_their_signals() -> None:
    draw = DeepConf(samples=5, window=64, top=7).decide(situation(("a", 1.0)), Random(0))
    assert draw == Draw(4, Budget(500), None, signals=Signals(7, 64))


def test_unsure_chains_do_not_vote() -> None:
    where = situation(("a", 1.0), ("a", 1.1), ("a", 1.2), ("b", 9.0))
    assert leader(where, DeepConf(samples=4, keep=0.25).decide(where, Random(0))) == "b"
    assert leader(where, DeepConf(samples=4, keep=1.0).decide(where, Random(0))) == "b"


def test_a_vote_is_as_heavy_as_it_is_sure() -> None:
    where = situation(("a", 5.0), ("a", 5.0), ("b", 9.0))
    stop = DeepConf(samples=3, keep=1.0).decide(where, Random(0))
    assert stop == Stop("plan done", ((0, 5.0), (1, 5.0), (2, 9.0)))
    assert leader(where, stop) == "a"


def test_chains_without_an_answer_set_no_threshold_afterwards() -> None:
    where = situation((None, 100.0), ("a", 1.0), ("b", 2.0))
    assert leader(where, DeepConf(samples=3, keep=0.5).decide(where, Random(0))) == "b"


def test_without_any_confidence_all_votes_count_the_same() -> None:
    where = situation(("a", None), ("b", None))
    assert DeepConf(samples=2).decide(where, Random(0)) == Stop("plan done")


@given(st.lists(st.floats(0.1, 20), min_size=1, max_size=30), st.floats(0.05, 1))
def test_the_threshold_keeps_the_share_that_it_should(sure: list[float], keep: float) -> None:
    votes = [Vote(n, "a", 1, 1, confidence=Confidence(tail=c)) for n, c in enumerate(sure)]
    least = threshold(votes, "tail", keep)
    assert least is not None
    kept = sum(c >= least for c in sure)
    assert kept >= 1
    assert kept + 1 >= keep * len(sure)
    assert min(sure) <= least <= max(sure) or np.isclose(least, [min(sure), max(sure)]).any()


ONLINE = DeepConfOnline(samples=8, warmup=4, samples_per_round=2, keep=0.5, window=32)
WARM: list[AnswerAndConfidence] = [("a", 4.0), ("b", 6.0), ("b", 8.0), ("a", 10.0)]


def test_warm_up_chains_run_to_their_end() -> None:
    draw = ONLINE.decide(situation(*WARM[:1]), Random(0))
    assert draw == Draw(3, Budget(500), None, signals=Signals(20, 32))


def test_later_chains_end_where_they_are_less_sure() -> None:
    draw = ONLINE.decide(situation(*WARM), Random(0))
    assert draw == Draw(2, Budget(500), None, signals=Signals(20, 32, end_below=7.0))


def test_later_chains_do_not_move_the_threshold() -> None:
    later: list[AnswerAndConfidence] = [("b", 30.0), ("a", 31.0)]
    draw = ONLINE.decide(situation(*WARM, *later), Random(0))
    assert isinstance(draw, Draw) and draw.signals is not None
    assert draw.signals.end_below == 7.0


def test_warm_up_chains_below_the_threshold_do_not_vote() -> None:
    where = situation(("a", 4.0), ("a", 4.5), ("b", 8.0), ("b", 8.0))
    stop = ONLINE.decide(where, Random(0))
    assert stop == Stop("settled", ((2, 8.0), (3, 8.0)))


def test_without_consensus_it_ends_with_its_samples() -> None:
    later: list[AnswerAndConfidence] = [("b", 9.0), (None, 1.0), (None, 1.0), ("a", 9.0)]
    where = situation(*WARM, *later)
    stop = ONLINE.decide(where, Random(0))
    assert isinstance(stop, Stop) and stop.reason == "plan done"
    assert leader(where, stop) == "a"


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("deepconf", "keep", 0),
        ("deepconf", "keep", 1.5),
        ("deepconf", "measure", "bottom"),
        ("deepconf", "top", 1),
        ("deepconf", "window", 0),
        ("deepconf", "temperature", 0),
        ("deepconf_online", "warmup", 40),
        ("deepconf_online", "consensus", float("nan")),
        ("deepconf_online", "measure", "tail"),
    ],
)
def test_a_wrong_option_is_named_with_its_value(name: str, option: str, value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        build(name, **{option: value})
    assert option in str(caught.value) and str(value) in str(caught.value)
