"""Policies estimated from a log of another policy's decisions, held against the truth."""

import json
from pathlib import Path

import numpy as np
import pytest

from policies import build
from policies.base import Policy
from scheduler.experiments.off_policy.decision_log import LoggedDecision, read_decisions
from scheduler.experiments.off_policy.logged_policies import PolicyEstimate, estimate
from tests.scheduler.experiments.logs import SHARES, RandomVotes, answered, lines_of

COUNT = 900
TRUTH = 1500


@pytest.fixture(scope="module")
def decisions(tmp_path_factory: pytest.TempPathFactory) -> list[LoggedDecision]:
    path = tmp_path_factory.mktemp("log") / "outcomes.jsonl"
    answered(RandomVotes(SHARES), count=COUNT, log=path)
    return read_decisions([path])


def truth(policy: Policy) -> list[tuple[float, float]]:
    """Accuracy and mean tokens on other questions of the same population, with standard errors."""
    found = answered(policy, count=TRUTH, seed=99)
    right = [float(outcome.correct or 0) for outcome in found]
    tokens = [float(outcome.tokens.total) for outcome in found]
    return [(float(np.mean(x)), float(np.std(x)) / TRUTH**0.5) for x in (right, tokens)]


def candidates() -> list[tuple[Policy, float]]:
    """With the share of the log that tells of each."""
    return [
        (build("majority", samples=3), 0.8),
        (build("majority", samples=5), 0.5),
        (build("fixed"), 0.2),
        (build("adaptive_consistency", max_samples=7, samples_per_round=1), 0.5),
    ]


@pytest.mark.slow
def test_estimates_hold_the_truth(decisions: list[LoggedDecision]) -> None:
    for policy, share in candidates():
        accuracy, tokens = truth(policy)
        found = estimate(decisions, policy)
        assert found.refused is None and found.accuracy and found.tokens
        assert found.overlap.covered == 1.0
        assert found.overlap.effective == pytest.approx(share * COUNT, rel=0.1)
        assert found.overlap.largest == pytest.approx(1 / share, rel=0.15)
        assert found.mean_weight == pytest.approx(1, abs=0.15)
        for estimates, value in ((found.accuracy, accuracy), (found.tokens, tokens)):
            # Two dozen intervals of 95 % are 1.5 times as wide here.
            for each in (estimates.ips, estimates.snips, estimates.dr):
                error = np.hypot(each.high - each.value, 1.96 * value[1])
                assert abs(each.value - value[0]) < 1.5 * error, (policy, each, value)
            assert estimates.dr.high - estimates.dr.low <= estimates.ips.high - estimates.ips.low


def test_the_logging_policy_is_estimated_by_what_it_did(decisions: list[LoggedDecision]) -> None:
    """A policy that draws what was logged with certainty: the difference from a subset is exact."""
    fewer = [each for each in decisions if each.action.plan == "votes 7"]
    alone = [
        LoggedDecision(each.served, each.action, 1.0, each.correct, each.tokens) for each in fewer
    ]
    found = estimate(alone, build("majority", samples=7))
    assert found.agreement == 1.0 and found.accuracy and found.tokens
    assert found.accuracy.ips == found.accuracy.logged == found.accuracy.snips
    assert found.tokens.dr.value == pytest.approx(found.tokens.logged.value)
    assert found.tokens.difference.value == pytest.approx(0, abs=1e-9)


def test_what_the_log_does_not_tell_is_refused(decisions: list[LoggedDecision]) -> None:
    found = estimate(decisions, build("majority", samples=9))
    assert found.accuracy is None and found.tokens is None
    assert found.refused is not None
    assert found.refused.startswith("the logging policy never makes 100% of this policy's choices")
    assert "fewer than the 9" in found.refused
    few = estimate(decisions[:60], build("fixed"))
    assert few.refused is not None


def test_a_policy_that_reads_curves_wants_curves(decisions: list[LoggedDecision]) -> None:
    with pytest.raises(ValueError, match="priced decides by learned curves"):
        estimate(decisions, build("priced"))


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    answered(RandomVotes(SHARES), count=2, log=path)
    line = lines_of(path)[1]
    del line["propensity"]
    path.write_text(json.dumps(line) + "\n")
    with pytest.raises(ValueError, match=r"outcomes.jsonl:1: .*'propensity' is missing"):
        read_decisions([path])
    path.write_text(json.dumps(line | {"propensity": 0.0}) + "\n")
    with pytest.raises(ValueError, match=r"propensity must be in \(0, 1\], got 0.0"):
        read_decisions([path])
    path.write_text("")
    with pytest.raises(ValueError, match="no answered query"):
        read_decisions([path])


def test_results_are_plain_data(decisions: list[LoggedDecision]) -> None:
    found: PolicyEstimate = estimate(decisions, build("majority", samples=3))
    assert json.loads(json.dumps(found.as_dict()))["overlap"]["decisions"] == COUNT
