"""On a simulated population `priced` learns to beat every fixed setting."""

from itertools import chain
from random import Random

import pytest

from benchmarks.population import FIXED, Mean, learn, mean, solve, stream, tokens_on_hull
from policies.priced import Priced

PRICE = 3e-4


@pytest.mark.slow
def test_a_learned_policy_ends_with_a_better_value_than_every_fixed_setting() -> None:
    streams = [stream(seed, 200) for seed in range(2)]
    runs = [
        learn(Priced(PRICE), questions, Random(seed), labelled=1.0)
        for seed, questions in enumerate(streams)
    ]
    late = mean([outcome for run in runs for outcome in run[100:]])
    fixed = [
        mean([solve(policy, asked, Random(0))[0] for asked in chain(*(s[100:] for s in streams))])
        for policy in FIXED.values()
    ]
    assert late.worth(PRICE) > max(setting.worth(PRICE) for setting in fixed) + 0.03
    assert late.tokens < 0.75 * tokens_on_hull(fixed, late.accuracy)


def test_the_hull_mixes_two_settings() -> None:
    settings = [Mean(0.5, 100), Mean(0.9, 300), Mean(0.6, 290)]
    assert tokens_on_hull(settings, 0.7) == pytest.approx(200)
    assert tokens_on_hull(settings, 0.95) == float("inf")
