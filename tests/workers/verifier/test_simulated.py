import asyncio

import pytest

from workers.verifier.base import Verifier
from workers.verifier.simulated import SimulatedVerifier


def is_right(question: str, thinking: str) -> bool:
    return thinking.endswith(question)


def scored(verifier: Verifier, thinkings: list[str]) -> list[list[float]]:
    return asyncio.run(verifier.score("7", thinkings))


@pytest.mark.parametrize("auc", [0.5, 0.7, 0.9])
def test_it_is_as_good_as_it_is_said_to_be(auc: float) -> None:
    verifier = SimulatedVerifier(is_right, auc=auc)
    right = [each[-1] for each in scored(verifier, [f"{n}=7" for n in range(500)])]
    wrong = [each[-1] for each in scored(verifier, [f"{n}=8" for n in range(500)])]
    wins = sum((r > w) + 0.5 * (r == w) for r in right for w in wrong) / (500 * 500)
    assert wins == pytest.approx(auc, abs=0.04)


def test_it_is_calibrated() -> None:
    verifier = SimulatedVerifier(is_right, auc=0.8, seed=3)
    texts = [f"{number}={7 + number % 2}" for number in range(4000)]
    pairs = [(r[-1], is_right("7", t)) for t, r in zip(texts, scored(verifier, texts), strict=True)]
    for low in (0.1, 0.4, 0.7):
        inside = [(r, ok) for r, ok in pairs if low <= r < low + 0.2]
        mean = sum(r for r, _ in inside) / len(inside)
        assert sum(ok for _, ok in inside) / len(inside) == pytest.approx(mean, abs=0.06)


def test_rewards_are_of_steps_and_always_the_same() -> None:
    verifier = SimulatedVerifier(is_right)
    text = "a=3 b=7\nso 7"
    (whole,) = scored(verifier, [text])
    assert len(whole) == 3
    assert scored(verifier, ["\n" + text + "\n", "a=3 b=7", ""]) == [whole, whole[:2], []]
    assert scored(SimulatedVerifier(is_right, seed=1), [text]) != [whole]


@pytest.mark.parametrize("auc", [0.4, 1.0, float("nan")])
def test_an_area_that_cannot_be_is_refused(auc: float) -> None:
    with pytest.raises(ValueError, match=f"auc must be at least 0.5 and below 1, got {auc}"):
        SimulatedVerifier(is_right, auc=auc)
