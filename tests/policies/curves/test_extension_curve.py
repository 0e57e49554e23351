"""Chains extended by "Wait": what is learned of repairs and spoils, and when to stop."""

from itertools import product
from random import Random

import pytest

from policies.curves.extension_counts import (
    STATES,
    AnswerState,
    ExtensionCounts,
    last_state,
    states,
)
from policies.curves.extension_curve import ExtensionCurve, fit_extensions
from policies.curves.extension_rule import ExtensionRule, extension_rules
from policies.tally import Vote

LENGTHS = (40, 100, 150, 200, 250, 300)


def chain(answers: str) -> list[Vote]:
    return [Vote(0, given, LENGTHS[w], LENGTHS[w], w) for w, given in enumerate(answers)]


def repaired_at(rng: Random, chances: tuple[float, ...]) -> str:
    """Answer "a" is right; a wrong answer changes with every Wait until one repairs it."""
    solved, wrong = rng.random(), iter("bcdefg")
    return "".join("a" if solved < share else next(wrong) for share in chances)


def learned(
    chances: tuple[float, ...], *, chains: int = 200, labelled: float = 1.0, seed: int = 1
) -> ExtensionCurve:
    rng, counts = Random(seed), ExtensionCounts()
    for _ in range(chains):
        answers = repaired_at(rng, chances)
        known = rng.random() < labelled
        counts.observe(chain(answers), [given == "a" if known else None for given in answers])
    curve = fit_extensions(counts)
    assert curve is not None
    return curve


def rule_at(curve: ExtensionCurve, price: float) -> ExtensionRule:
    return extension_rules(curve, [price])[0]


def goes_on(curve: ExtensionCurve, price: float, tail: float | None = None) -> bool:
    """After the first answer, with this tail confidence."""
    first = AnswerState(0, 1)
    return rule_at(curve, price).goes_on(first, curve.chance(first, tail))


def test_a_run_is_counted_from_the_last_change() -> None:
    assert list(states("aab")) == [AnswerState(0, 1), AnswerState(1, 2), AnswerState(2, 1)]
    assert list(states("aaaaa"))[-1] == AnswerState(4, 5)


def test_an_answer_after_extensions_that_were_forced_in_one_go_has_stood_once() -> None:
    ends = [Vote(0, answer, 100 * w, 90 * w, w) for w, answer in enumerate("aab", start=3)]
    assert last_state(ends[:1]) == AnswerState(3, 1)
    assert last_state(ends[:2]) == AnswerState(4, 2)
    assert last_state(ends) == AnswerState(5, 1)


def test_without_a_chain_there_is_no_curve() -> None:
    assert fit_extensions(ExtensionCounts(), ExtensionCounts()) is None


@pytest.mark.parametrize("extensions", range(6))
def test_the_accuracy_of_a_known_population_lies_in_its_interval(extensions: int) -> None:
    chances = (0.3, 0.43, 0.79, 0.94, 0.97, 0.98)
    low, high = learned(chances).interval(extensions)
    assert low <= chances[extensions] <= high


def test_tokens_by_wait_are_those_of_the_chains() -> None:
    assert learned((0.5,) * 6).tokens == pytest.approx(LENGTHS, rel=0.01)


def test_accuracy_may_fall_with_a_wait() -> None:
    counts = ExtensionCounts()
    for _ in range(50):
        counts.observe(chain("ab"), [True, False])
    curve = fit_extensions(counts)
    assert curve is not None
    assert curve.accuracy[1] < 0.2 < 0.8 < curve.accuracy[0]
    assert curve.spoilt[0] > 0.7
    assert not rule_at(curve, 1e-4).below


def test_stopping_early_does_not_bias_the_curve() -> None:
    """Chains whose answer stood twice are left alone; what they would have given is inferred."""
    rng, counts = Random(1), ExtensionCounts()
    chances = (0.5, 0.7, 0.9, 0.95, 0.95, 0.95)
    for _ in range(400):
        answers = repaired_at(rng, chances)
        until = next(
            (s.extensions for s in states(answers) if s.run == 2 and rng.random() < 0.8), 5
        )
        ends = answers[: until + 1]
        counts.observe(chain(ends), [given == "a" for given in ends])
    curve = fit_extensions(counts)
    assert curve is not None
    assert curve.accuracy == pytest.approx(chances, abs=0.06)


def test_the_rule_is_as_good_as_the_best_of_all_rules() -> None:
    curve, price = learned((0.4, 0.7, 0.8), chains=60), 1e-3

    def worth(goes_on: frozenset[AnswerState]) -> float:
        reach = {AnswerState(0, 1): 1.0}
        accuracy, tokens = curve.right[0], curve.tokens[0]
        for row, state in enumerate(STATES[:6]):
            mass = reach.get(state, 0.0)
            if state in goes_on:
                accuracy += mass * curve.gain(row)
                tokens += mass * curve.next_tokens[row]
                for same, share in ((True, curve.stays[row]), (False, 1 - curve.stays[row])):
                    to = state.after(same=same)
                    reach[to] = reach.get(to, 0.0) + mass * share
        return accuracy - price * tokens

    before_last = STATES[:3]
    rules = (
        frozenset(state for state, on in zip(before_last, chosen, strict=True) if on)
        for chosen in product((True, False), repeat=3)
    )
    forecast = rule_at(curve, price).forecast
    assert forecast.accuracy - price * forecast.tokens == pytest.approx(max(map(worth, rules)))


def test_a_higher_price_never_buys_more_waits() -> None:
    curve = learned((0.3, 0.43, 0.79, 0.94, 0.97, 0.98))
    tokens = [rule_at(curve, price).forecast.tokens for price in (1e-5, 1e-4, 3e-4, 1e-3, 1e-2)]
    assert tokens == sorted(tokens, reverse=True)
    assert tokens[-1] == pytest.approx(40)


def test_without_labels_flips_show_that_waiting_pays() -> None:
    curve = learned((0.3, 0.5, 0.8, 0.95, 0.97, 0.98), labelled=0.0)
    assert curve.accuracy[3] > curve.accuracy[0] + 0.2
    assert goes_on(curve, 3e-4)


def test_without_labels_answers_that_never_change_are_not_extended() -> None:
    assert not goes_on(learned((1.0,) * 6, labelled=0.0), 3e-4)


def test_few_labels_correct_a_class_that_is_stable_and_wrong() -> None:
    counts = ExtensionCounts()
    for number in range(40):
        counts.observe(chain("bbbbbb"), [False if number < 4 else None] * 6)
    curve = fit_extensions(counts)
    assert curve is not None
    assert max(curve.accuracy) < 0.3


def test_repairs_are_counted_by_wait() -> None:
    curve = learned((0.0, 0.5, 0.5, 0.5, 0.5, 0.5), chains=400)
    assert curve.repaired[0] == pytest.approx(0.5, abs=0.08)
    assert curve.repaired[1] == pytest.approx(0.0, abs=0.02)
    assert curve.spoilt[1] < 0.02


def test_chains_that_a_rule_left_over_do_not_make_a_wait_look_bad() -> None:
    """A third equal answer ends a chain: those that go on are the ones that were wrong so far.

    What a fourth Wait would do to the chains that ended must not be read off those.
    """
    rng, counts = Random(2), ExtensionCounts()
    chances = (0.2, 0.23, 0.26, 0.37, 0.56, 0.61)
    for number in range(1200):
        answers = repaired_at(rng, chances)
        until = next((s.extensions for s in states(answers) if s.run == 3), 5)
        ends = answers if number % 20 == 0 else answers[: until + 1]
        counts.observe(chain(ends), [given == "a" if number % 5 == 0 else None for given in ends])
    curve = fit_extensions(counts)
    assert curve is not None
    assert curve.accuracy == pytest.approx(chances, abs=0.07)
