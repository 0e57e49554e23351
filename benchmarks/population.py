"""How policies compare on a simulated population, and the stream that they run on.

python -m benchmarks.population
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from random import Random
from typing import NamedTuple

from benchmarks.frontier import SettingMean, tokens_at
from benchmarks.learner import VoteLearner
from benchmarks.populations.questions import ANSWER_TOKENS, SHAPES, SimulatedQuestion, question
from policies.adaptive_consistency import AdaptiveConsistency
from policies.base import Draw, Extend, Policy, Situation, Stop
from policies.curves.curve import ClassCurve
from policies.curves.observation import Observation
from policies.fixed import Fixed
from policies.majority import Majority
from policies.plan import Plan
from policies.price import DEFAULT_PRICE
from policies.priced import Priced
from policies.tally import Tally, Vote

MAX_THINKING_TOKENS = 2000
MAX_EXTENSIONS = 6


class SimulatedOutcome(NamedTuple):
    query_class: str
    right: bool
    tokens: int


def solve(
    policy: Policy,
    simulated: SimulatedQuestion,
    rng: Random,
    *,
    curve: ClassCurve | None = None,
    labelled: bool = False,
) -> tuple[SimulatedOutcome, Observation]:
    """What a scheduler does for one query, where every chain is known beforehand.

    A `labelled` query brings its right answer. Every end of an extended chain costs an answer; a
    chain that is cut early guesses.
    """
    query = simulated.query if labelled else replace(simulated.query, reference=None)
    tally = Tally()
    plan: Plan | None = None
    start: Draw | None = None
    while True:
        decision = policy.decide(
            Situation(query, tally, MAX_THINKING_TOKENS, curve, plan=plan), rng
        )
        match decision:
            case Stop():
                break
            case Extend():
                last = [vote for vote in tally.history if vote.chain == decision.chain][-1]
                new = [simulated.extended(last, is_greedy=decision.temperature == 0.0)]
            case Draw(temperature=0.0):
                new = [simulated.greedy[decision.budget.extensions]]
            case Draw():
                drawn = len(tally.votes)
                sampled = simulated.sampled[drawn : drawn + decision.samples]
                new = [simulated.forced(vote, decision.budget.extensions) for vote in sampled]
            case _:
                raise ValueError(f"chains of this population cannot be steered, got {decision!r}")
        plan = decision.plan
        if isinstance(decision, Draw):
            start = start or decision
            new = [_cut(vote, decision.budget.max_thinking_tokens, simulated.guess) for vote in new]
        for vote in new:
            tally = tally.add(vote)
    assert start is not None
    return (
        SimulatedOutcome(simulated.query.query_class, simulated.right(tally.leader), tally.tokens),
        Observation(
            simulated.query.query_class,
            tally.history,
            start.budget,
            start.temperature,
            plan,
        ),
    )


def _cut(vote: Vote, cap: int, guess: str) -> Vote:
    if vote.thinking_tokens <= cap:
        return vote
    return replace(vote, answer=guess, tokens=cap + ANSWER_TOKENS, thinking_tokens=cap)


def stream(seed: int, queries: int) -> list[SimulatedQuestion]:
    rng = Random(seed)
    return [question(rng.choice(list(SHAPES)), number, rng) for number in range(queries)]


def learn(
    policy: Priced,
    questions: Sequence[SimulatedQuestion],
    rng: Random,
    *,
    labelled: float,
) -> list[SimulatedOutcome]:
    """From a cold start, with a share of the answers checked."""
    learner = VoteLearner(policy.price or DEFAULT_PRICE)
    outcomes = []
    for simulated in questions:
        curve, is_labelled = (
            learner.curves.get(simulated.query.query_class),
            rng.random() < labelled,
        )
        outcome, observation = solve(policy, simulated, rng, curve=curve, labelled=is_labelled)
        if is_labelled:
            right = {
                b.answer: simulated.right(b.answer)
                for b in observation.history
                if b.answer is not None
            }
            observation = replace(observation, right=right)
        learner.observe(observation)
        outcomes.append(outcome)
    return outcomes


def mean(outcomes: Sequence[SimulatedOutcome]) -> SettingMean:
    return SettingMean(
        sum(outcome.right for outcome in outcomes) / len(outcomes),
        sum(outcome.tokens for outcome in outcomes) / len(outcomes),
    )


FIXED: dict[str, Policy] = {
    **{
        f"extensions {extensions}": Fixed(extensions=extensions)
        for extensions in range(MAX_EXTENSIONS + 1)
    },
    **{f"votes {votes}": Majority(votes) for votes in (1, 2, 4, 8, 16)},
}
ADAPTIVE: dict[str, Policy] = {
    f"adaptive {threshold}": AdaptiveConsistency(threshold, max_samples=16, samples_per_round=1)
    for threshold in (0.8, 0.95)
}


def compare(*, seeds: int, queries: int, prices: Sequence[float]) -> None:
    """Print the table: means over all streams; worth is accuracy less the price of the tokens.

    "/ hull" divides tokens by the fewest with which fixed settings, or a mix of two of them, are as
    accurate; "<" where none is: then by the tokens of the most accurate one.
    """
    streams = [stream(seed, queries) for seed in range(seeds)]
    fixed_runs = [fixed_outcomes(policy, streams) for policy in (FIXED | ADAPTIVE).values()]
    print(f"{seeds} streams of {queries} queries, {len(SHAPES)} classes, cold start")
    print(f"{'setting':24}{'accuracy':>9}{'tokens':>8}")
    for name, runs in zip(FIXED | ADAPTIVE, fixed_runs, strict=True):
        reached = mean(list(chain.from_iterable(runs)))
        print(f"{name:24}{reached.accuracy:9.3f}{reached.tokens:8.0f}")
    columns = f"{'accuracy':>9}{'tokens':>8}{'/ hull':>8}{'worth':>7}{'best fixed':>11}"
    print(f"{'priced':24}{columns}  | second half {columns}")
    for price in prices:
        for labelled in (1.0, 0.2, 0.0):
            runs = [
                learn(Priced(price=price), questions, Random(seed), labelled=labelled)
                for seed, questions in enumerate(streams)
            ]
            line = f"{f'{price:.0e}, {labelled:.0%} labelled':24}"
            for start in (0, queries // 2):
                ours = mean([one for run in runs for one in run[start:]])
                peers = [
                    mean([one for run in setting for one in run[start:]])
                    for setting in fixed_runs[: len(FIXED)]
                ]
                hull = tokens_at(peers, ours.accuracy)
                ratio = f"{ours.tokens / hull:.2f}"
                if hull == math.inf:
                    ratio = f"<{ours.tokens / max(peers).tokens:.2f}"
                best = max(peer.worth(price) for peer in peers)
                line += f"{ours.accuracy:9.3f}{ours.tokens:8.0f}{ratio:>8}"
                line += f"{ours.worth(price):7.3f}{best:11.3f}" + ("  |" + " " * 13) * (not start)
            print(line, flush=True)


def fixed_outcomes(
    policy: Policy, streams: Sequence[Sequence[SimulatedQuestion]]
) -> list[list[SimulatedOutcome]]:
    return [
        [solve(policy, simulated, Random(0))[0] for simulated in questions] for questions in streams
    ]


if __name__ == "__main__":
    compare(seeds=10, queries=300, prices=(1e-4, 2e-4, 3e-4, 5e-4, 1e-3))
