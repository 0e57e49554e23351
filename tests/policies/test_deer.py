"""An early exit when the model is sure of its trial answer."""

from random import Random

import pytest

from policies import build
from policies.base import Conclude, Draw, Query, Situation
from policies.deer import Deer
from policies.signals import Probe, Probing
from policies.tally import Tally


def running(answer: str | None, probability: float) -> Situation:
    probes = (Probe(0, 20, "7", 0.99), Probe(0, 40, answer, probability))
    return Situation(Query("q", ()), Tally(), 500, pending=1, probes=probes)


@pytest.mark.parametrize(
    ("answer", "probability", "concludes"),
    [("7", 0.96, True), ("7", 0.95, False), ("7", 0.2, False), (None, 0.99, False)],
)
def test_the_last_trial_decides(answer: str | None, probability: float, concludes: bool) -> None:
    decision = Deer().decide(running(answer, probability), Random(0))
    assert (decision == Conclude(0)) is concludes


@pytest.mark.parametrize("extensions", [0, 3])
def test_thoughts_turn_at_paragraphs_and_at_forced_waits(extensions: int) -> None:
    policy = Deer(extensions=extensions, max_probes=5)
    draw = policy.decide(Situation(Query("q", ()), Tally(), 500), Random(0))
    assert isinstance(draw, Draw)
    assert draw.budget.extensions == extensions
    assert draw.probing == Probing(
        paragraphs=True, extensions=extensions > 0, answer_tokens=20, most=5
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [("threshold", 0), ("threshold", 1.0), ("threshold", float("nan")), ("max_probes", 0)],
)
def test_a_wrong_option_is_named_with_its_value(option: str, value: float) -> None:
    with pytest.raises(ValueError) as caught:
        build("deer", **{option: value})
    assert option in str(caught.value) and str(value) in str(caught.value)
