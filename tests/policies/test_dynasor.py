"""An early exit when the last trial answers agree."""

from random import Random
from typing import Any

import pytest

from policies import build
from policies.base import Conclude, Draw, Query, Situation, Stop
from policies.dynasor import Dynasor
from policies.plan import Budget
from policies.signals import Probe, Probing
from policies.tally import Tally, Vote

POLICY = Dynasor(probe_every=32, agree=2)


def running(*trials: str | None, text: str = "Final Answer: 7") -> Situation:
    probes = tuple(
        Probe(4, 32 * (place + 1), answer, 0.5, text) for place, answer in enumerate(trials)
    )
    return Situation(Query("q", ()), Tally(), 500, pending=1, probes=probes)


def test_probes_as_often_as_the_cap_lets() -> None:
    draw = Dynasor(probe_every=32, max_thinking_tokens=100).decide(running(), Random(0))
    probing = Probing(every=32, answer_tokens=20, most=3)
    assert draw == Draw(1, Budget(100), 0.0, final=True, probing=probing)


@pytest.mark.parametrize("trials", [("7", "7"), ("3", "7", "7"), ("7", None, "7", "7")])
def test_agreement_concludes_the_chain_that_was_probed(trials: tuple[str | None, ...]) -> None:
    assert POLICY.decide(running(*trials), Random(0)) == Conclude(4)


@pytest.mark.parametrize(
    "trials", [(), ("7",), ("7", "8"), ("7", "7", "8"), (None, None), ("7", "7", None)]
)
def test_without_agreement_the_chain_goes_on(trials: tuple[str | None, ...]) -> None:
    assert isinstance(POLICY.decide(running(*trials), Random(0)), Draw)


@pytest.mark.parametrize(
    ("text", "agrees"), [("7. Wait, hold on", False), ("7, but", False), ("7 is notable", True)]
)
def test_a_trial_that_hesitates_is_no_agreement(text: str, agrees: bool) -> None:
    decision = POLICY.decide(running("7", "7", text=text), Random(0))
    assert isinstance(decision, Conclude) is agrees


@pytest.mark.parametrize(("cause", "reason"), [("early_exit", "settled"), ("natural", "plan done")])
def test_one_chain_is_all(cause: str, reason: Any) -> None:
    done = Situation(Query("q", ()), Tally((Vote(0, "7", 10, 8, stop_cause=cause),)), 500)
    assert POLICY.decide(done, Random(0)) == Stop(reason)


@pytest.mark.parametrize("option", ["probe_every", "agree", "probe_tokens"])
def test_a_wrong_option_is_named_with_its_value(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} .* 0"):
        build("dynasor", **{option: 0})
