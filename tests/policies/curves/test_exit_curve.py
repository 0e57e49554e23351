"""When to conclude a chain: by backward induction over what was counted."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.curves.exit_curve import ExitCurve, ExitRule, fit_exits
from policies.curves.exit_statistics import ExitStatistics, ProbeTrajectory
from policies.signals import Probe
from tests.policies.exit_population import TRIAL_TOKENS, trajectory


def learned(
    chains: int = 2000,
    *,
    seed: int = 0,
    labelled: float = 1.0,
    spoiled: float = 0.0,
    leave_after: int | None = None,
) -> ExitStatistics:
    """Of chains a fifth of which always runs to its end."""
    rng, statistics = Random(seed), ExitStatistics()
    for number in range(chains):
        leave = leave_after if number % 5 else None
        statistics.add(trajectory(rng, labelled=labelled, spoiled=spoiled, leave_after=leave))
    return statistics


def fitted(statistics: ExitStatistics, *prices: float) -> ExitCurve:
    curve = fit_exits(statistics, prices=prices or (1e-5,))
    assert curve is not None
    return curve


def played(rule: ExitRule, *, spoiled: float = 0.0, chains: int = 1500) -> tuple[float, float]:
    """Accuracy and tokens of a rule on chains that it has not seen."""
    rng, right, tokens = Random("others"), 0, 0.0
    for _ in range(chains):
        whole = trajectory(rng, spoiled=spoiled)
        answer, spent = whole.answer, float(whole.thinking_tokens)
        tried: list[Probe] = []
        for probe in whole.probes:
            tried.append(probe)
            if rule.concludes(tried):
                answer, spent = probe.answer, probe.thinking_tokens
                break
        right += answer == "right"
        tokens += spent + len(tried) * TRIAL_TOKENS
    return right / chains, tokens / chains


def test_without_a_chain_there_is_no_curve() -> None:
    assert fit_exits(ExitStatistics(), prices=(1e-5,)) is None


def test_chains_that_a_cap_cut_before_any_trial_show_nothing() -> None:
    statistics = ExitStatistics()
    statistics.add(ProbeTrajectory((), 30, "a", True, False, 0.0, {"a": True}))
    assert fit_exits(statistics, prices=(1e-5,)) is None


def test_chains_that_are_all_cut_end_with_their_last_trials() -> None:
    statistics = ExitStatistics()
    for _ in range(40):
        sure = (Probe(0, 64, "a", 0.95), Probe(0, 91, "a", 0.95))
        statistics.add(ProbeTrajectory(sure, 100, "a", True, False, 20.0, {"a": True}))
    assert fitted(statistics).to_end.accuracy > 0.8


def test_a_rule_saves_tokens_and_gives_what_it_promises() -> None:
    rule = fitted(learned(), 5e-5).rules[0]
    accuracy, tokens = played(rule)
    assert accuracy > 0.97
    assert tokens < 0.8 * 2050
    assert accuracy == pytest.approx(rule.forecast.accuracy, abs=0.05)
    assert tokens == pytest.approx(rule.forecast.tokens, rel=0.1)


def test_where_thinking_on_spoils_answers_chains_end_early_at_any_price() -> None:
    rule = fitted(learned(spoiled=0.5), 1e-9).rules[0]
    accuracy, _ = played(rule, spoiled=0.5)
    whole_chains = 0.5
    assert accuracy > whole_chains + 0.1


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    low=st.floats(1e-7, 1e-3),
    factor=st.floats(1.0, 100.0),
    chains=st.integers(1, 60),
)
def test_what_ends_a_chain_at_one_price_ends_it_at_any_higher_one(
    seed: int, low: float, factor: float, chains: int
) -> None:
    cheap, dear = fitted(learned(chains, seed=seed, labelled=0.3), low, low * factor).rules
    assert all(
        on_dear or not on_cheap
        for on_cheap, on_dear in zip(cheap.ends_at, dear.ends_at, strict=True)
    )


def test_chains_concluded_early_leave_the_fit_unbiased() -> None:
    whole, stopped = fitted(learned(6000)), fitted(learned(6000, seed=1, leave_after=2))
    assert stopped.rules[0].forecast.accuracy == pytest.approx(
        whole.rules[0].forecast.accuracy, abs=0.03
    )
    assert stopped.rules[0].forecast.tokens == pytest.approx(
        whole.rules[0].forecast.tokens, rel=0.06
    )


def test_without_any_label_agreement_with_the_end_tells_when_to_stop() -> None:
    rule = fitted(learned(labelled=0.0), 5e-5).rules[0]
    accuracy, tokens = played(rule)
    assert accuracy > 0.95
    assert tokens < 0.85 * 2050


def test_labels_overrule_agreement() -> None:
    agreeing = fitted(learned(labelled=0.0, spoiled=0.9), 1e-9).rules[0]
    labelled = fitted(learned(labelled=0.2, spoiled=0.9), 1e-9).rules[0]
    assert played(labelled, spoiled=0.9)[0] > played(agreeing, spoiled=0.9)[0] + 0.1


def test_a_class_without_chains_takes_its_parents_rule() -> None:
    parent = learned(300)
    child = fit_exits(ExitStatistics(), parent, prices=(1e-3,))
    assert child is not None
    assert child.queries == 0
    assert played(child.rules[0])[1] < 0.8 * 2050


def test_the_rule_with_the_nearest_price_by_ratio_is_taken() -> None:
    curve = fitted(learned(50), 1e-6, 1e-4)
    assert curve.rule(9e-6).price == 1e-6
    assert curve.rule(1.1e-5).price == 1e-4


def test_a_price_that_cannot_be_is_refused() -> None:
    for price in (0.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="price"):
            fit_exits(learned(3), prices=(price,))


def test_chains_without_any_trial_teach_how_they_end() -> None:
    statistics = ExitStatistics()
    for _ in range(40):
        statistics.add(ProbeTrajectory([], 30, "right", False, True, 20.0, {"right": True}))
    forecast = fitted(statistics).rules[0].forecast
    assert forecast.tokens == pytest.approx(30)
    assert forecast.accuracy > 0.8
