"""A simulated population: five classes whose curves differ, and the stream that policies run on.

The first four are shaped like a small model's measured curves for forced "Wait"s at temperature 0
and votes at temperature 1; in "sum" the extensions hardly help and votes do. `python -m
benchmarks.population` prints how policies compare on it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from random import Random
from typing import NamedTuple

from benchmarks.frontier import SettingMean, tokens_at
from benchmarks.learner import VoteLearner
from policies.adaptive_consistency import AdaptiveConsistency
from policies.base import Draw, Extend, Message, Policy, Query, Situation, Stop
from policies.curves.curve import ClassCurve
from policies.curves.observation import Observation
from policies.fixed import Fixed
from policies.majority import Majority
from policies.plan import Plan
from policies.price import DEFAULT_PRICE
from policies.priced import Priced
from policies.tally import Tally, Vote

ANSWERS = 10
ANSWER_TOKENS = 4
MAX_THINKING_TOKENS = 2000
MAX_EXTENSIONS = 6


class Shape(NamedTuple):
    """`repaired[w]` is the accuracy after w extensions, `lengths[w]` the mean thinking tokens by
    then.

    A sampled chain is right with a chance from Beta(*sampled); `scatter` spreads its errors.
    """

    repaired: tuple[float, ...]
    lengths: tuple[int, ...]
    sampled: tuple[float, float]
    scatter: float
    rewrites: float = 0.55
    relapse: float = 0.0


SHAPES: Mapping[str, Shape] = {
    "easy": Shape(
        (0.97, 0.997, 1.0, 1.0, 1.0, 1.0, 1.0),
        (23, 65, 101, 140, 180, 220, 260),
        (12, 0.9),
        3.0,
    ),
    "medium": Shape(
        (0.56, 0.82, 0.97, 1.0, 1.0, 1.0, 1.0),
        (40, 102, 147, 202, 253, 304, 355),
        (2.9, 1.0),
        2.0,
    ),
    "hard": Shape(
        (0.30, 0.43, 0.79, 0.94, 0.97, 0.985, 0.99),
        (65, 150, 210, 269, 325, 380, 435),
        (1.3, 2.2),
        4.0,
    ),
    "extreme": Shape(
        (0.21, 0.23, 0.26, 0.37, 0.56, 0.61, 0.65),
        (90, 206, 303, 383, 455, 527, 599),
        (0.7, 2.5),
        3.0,
        relapse=0.05,
    ),
    "sum": Shape(
        (0.45, 0.45, 0.46, 0.46, 0.47, 0.47, 0.47),
        (40, 85, 130, 175, 220, 265, 310),
        (9.0, 6.0),
        9.0,
        rewrites=0.15,
    ),
}


@dataclass(frozen=True, slots=True)
class SimulatedQuestion:
    """All that chains would say: greedily by Wait, sampled in the order drawn, cut too early."""

    query: Query
    greedy: tuple[Vote, ...]
    sampled: tuple[Vote, ...]
    guess: str

    def right(self, answer: str | None) -> bool:
        return answer == self.query.reference


def question(query_class: str, number: int, rng: Random, *, samples: int = 40) -> SimulatedQuestion:
    shape = SHAPES[query_class]
    truth = rng.randrange(ANSWERS)
    wrong = [answer for answer in range(ANSWERS) if answer != truth]
    query = Query(
        f"{query_class}-{number}",
        (Message("user", f"{query_class} {number}"),),
        query_class,
        reference=str(truth),
    )
    return SimulatedQuestion(
        query,
        tuple(_greedy(shape, truth, wrong, rng)),
        tuple(_sampled(shape, truth, wrong, rng, samples)),
        str(rng.randrange(ANSWERS)),
    )


def _greedy(shape: Shape, truth: int, wrong: Sequence[int], rng: Random) -> Iterator[Vote]:
    """A chain is right from some Wait on, but for relapses; until then extensions may rewrite
    errors.
    """
    solved, stretch = rng.random(), max(0.5, rng.gauss(1.0, 0.12))
    answer = rng.choice(wrong)
    for extensions, share in enumerate(shape.repaired):
        right = solved < share and not (extensions and rng.random() < shape.relapse)
        if right:
            answer = truth
        elif answer == truth or (extensions and rng.random() < shape.rewrites):
            answer = rng.choice(wrong)
        thinking = round(shape.lengths[extensions] * stretch)
        yield Vote(0, str(answer), thinking + ANSWER_TOKENS, thinking, extensions)


def _sampled(
    shape: Shape, truth: int, wrong: Sequence[int], rng: Random, samples: int
) -> Iterator[Vote]:
    share = rng.betavariate(*shape.sampled)
    weights = [rng.gammavariate(shape.scatter / len(wrong), 1.0) + 1e-9 for _ in wrong]
    for number in range(samples):
        answer = truth if rng.random() < share else rng.choices(wrong, weights)[0]
        thinking = round(shape.lengths[0] * max(0.5, rng.gauss(1.0, 0.15)))
        yield Vote(number, str(answer), thinking + ANSWER_TOKENS, thinking)


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
                extensions = tally.history[-1].extensions + decision.extensions
                answers = (extensions + 1) * ANSWER_TOKENS
                end = simulated.greedy[extensions]
                new = [replace(end, tokens=end.thinking_tokens + answers)]
            case Draw(temperature=0.0):
                new = [simulated.greedy[decision.budget.extensions]]
            case Draw():
                drawn = len(tally.votes)
                new = list(simulated.sampled[drawn : drawn + decision.samples])
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
                learn(Priced(price), questions, Random(seed), labelled=labelled)
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
