"""On a simulated population `priced` learns to beat every fixed setting."""

from itertools import chain
from random import Random

import pytest

from benchmarks.frontier import tokens_at
from benchmarks.population import FIXED, learn, mean, solve, stream
from policies.priced import Priced

PRICE = 3e-4


@pytest.mark.slow
def test_a_learned_policy_ends_with_a_better_value_than_every_fixed_setting() -> None:
    streams = [stream(seed, 600) for seed in range(2)]
    runs = [
        learn(Priced(price=PRICE), questions, Random(seed), labelled=1.0)
        for seed, questions in enumerate(streams)
    ]
    late = mean([outcome for run in runs for outcome in run[300:]])
    fixed = [
        mean([solve(policy, asked, Random(0))[0] for asked in chain(*(s[300:] for s in streams))])
        for policy in FIXED.values()
    ]
    assert late.worth(PRICE) > max(setting.worth(PRICE) for setting in fixed) + 0.02
    assert late.tokens < 0.75 * tokens_at(fixed, late.accuracy)
