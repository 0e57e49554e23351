"""Policies replayed on vote traces: every one decides on what the scheduler would show it.

A question comes up with its recorded chains in an order of its own; all policies meet the same
questions in the same order with the same chains. A round's chains come in one by one; a policy that
stops within a round pays for all of it. A policy that learns starts cold, and gets the right
answers of some queries only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from benchmarks.learner import VoteLearner
from policies.base import Draw, Message, Policy, Query, Situation, Stop
from policies.curves.class_statistics import ClassStatistics
from policies.curves.curve import ClassCurve, fit
from policies.curves.observation import Observation
from policies.curves.plans.settings import ChainSetting
from policies.plan import Budget, Plan
from policies.tally import Tally, Vote
from scheduler.experiments.recordings import VoteTrace

MAX_THINKING_TOKENS = 10**6
LABELLED = 0.1
LEARNING = {"ours", "ours_in_rounds", "bayesian_stopping", "difficulty_knapsack"}


@dataclass(frozen=True, slots=True)
class VoteSetting:
    """One policy with its options; `price` is the accuracy that one token must buy, if any.

    `round_tokens` is the latency weight of a round of sampling, see `policies.curves.curve.fit`.
    """

    family: str
    label: str
    policy: Policy
    price: float = 0.0
    round_tokens: float = 0.0

    @property
    def learns(self) -> bool:
        return self.family in LEARNING


@dataclass(frozen=True, slots=True)
class VoteArrival:
    """A question that comes up: its place in the trace, and its chains in the order drawn."""

    question: int
    query: Query
    chains: tuple[Vote, ...]
    right: frozenset[str]
    labelled: bool

    def truths(self, chains: Iterable[Vote]) -> dict[str, bool]:
        """The result of checking these chains' answers."""
        return {
            chain.answer: chain.answer in self.right for chain in chains if chain.answer is not None
        }


class VoteResult(NamedTuple):
    """`rounds` is how often chains were waited for, `longest` the longest of each, added up."""

    right: bool
    tokens: int
    rounds: int
    longest: int


def arrivals(trace: VoteTrace, queries: int, rng: Random) -> list[VoteArrival]:
    """All questions in random order, again and again, up to so many queries."""
    stream: list[VoteArrival] = []
    while len(stream) < queries:
        for question in rng.sample(range(len(trace.questions)), len(trace.questions)):
            stream.append(_arrival(trace, question, len(stream), rng))
    return stream[:queries]


def reference(right: Iterable[str]) -> str:
    """What a query of which these answers are right brings as its right one."""
    return min(right, default="not among the recorded answers")


def _arrival(trace: VoteTrace, question: int, number: int, rng: Random) -> VoteArrival:
    recorded = trace.questions[question]
    right = {sample.answer for sample in recorded if sample.right}
    chains = (
        Vote(chain, sample.answer, sample.tokens, sample.tokens)
        for chain, sample in enumerate(rng.sample(recorded, len(recorded)))
    )
    known = frozenset(answer for answer in right if answer is not None)
    labelled = rng.random() < LABELLED
    query = Query(
        f"{trace.query_class}-{number}",
        (Message("user", f"{trace.query_class} {question}"),),
        trace.query_class,
        reference=reference(known) if labelled else None,
    )
    return VoteArrival(question, query, tuple(chains), known, labelled)


def replay_query(
    setting: VoteSetting, arrival: VoteArrival, rng: Random, curve: ClassCurve | None = None
) -> tuple[VoteResult, Observation]:
    """Answer one query; when its recorded chains are used up, the vote so far has to do."""
    tally, plan, budget = Tally(), None, Budget(0)
    rounds = longest = tokens = 0
    decide, history = setting.policy.decide, arrival.chains
    while True:
        decision = decide(_situation(setting, arrival, tally, plan, curve), rng)
        if isinstance(decision, Stop):
            break
        if not isinstance(decision, Draw):
            raise ValueError(f"{setting.label}: votes were recorded, no {type(decision).__name__}")
        plan, budget = decision.plan or plan, decision.budget
        start = len(tally.history)
        drawn = history[start : start + decision.samples]
        if not drawn:
            break
        rounds += 1
        longest += max(vote.tokens for vote in drawn)
        tokens += sum(vote.tokens for vote in drawn)
        for end in range(start + 1, start + len(drawn)):
            part = Tally(history[:end])
            pending = start + len(drawn) - end
            interim = decide(_situation(setting, arrival, part, plan, curve, pending), rng)
            if isinstance(interim, Stop):
                drawn, decision = history[start:end], interim
                break
        tally = Tally(history[: start + len(drawn)])
        if isinstance(decision, Stop):
            break
    observation = Observation(
        arrival.query.query_class,
        tally.history,
        budget,
        None,
        plan,
        arrival.truths(tally.history) if arrival.labelled else {},
    )
    return VoteResult(tally.leader in arrival.right, tokens, rounds, longest), observation


def _situation(
    setting: VoteSetting,
    arrival: VoteArrival,
    tally: Tally,
    plan: Plan | None,
    curve: ClassCurve | None,
    pending: int = 0,
) -> Situation:
    return Situation(
        query=arrival.query,
        tally=tally,
        max_thinking_tokens=MAX_THINKING_TOKENS,
        curve=curve,
        price=setting.price,
        plan=plan,
        pending=pending,
        greedy=False,
    )


def replay(setting: VoteSetting, stream: Iterable[VoteArrival], seed: int) -> list[VoteResult]:
    """A stream under one setting; a policy that learns starts cold."""
    rng, learner = Random(seed), VoteLearner(setting.price or 1e-6, setting.round_tokens)
    outcomes = []
    for arrival in stream:
        curve = learner.curves.get(arrival.query.query_class)
        result, observation = replay_query(setting, arrival, rng, curve)
        if setting.learns:
            learner.observe(observation)
        outcomes.append(result)
    return outcomes


def known(trace: VoteTrace) -> ClassStatistics:
    """What nobody knows who serves: every vote of a class that was recorded, checked."""
    statistics, rng = ClassStatistics(), Random(0)
    for question in range(len(trace.questions)):
        arrival = _arrival(trace, question, question, rng)
        right = arrival.truths(arrival.chains)
        plan = Plan("whole", Budget(0), setting=ChainSetting(tried=True), is_exploration=True)
        statistics.observe(
            Observation(trace.query_class, arrival.chains, Budget(0), None, plan, right)
        )
    return statistics


def replay_known(
    setting: VoteSetting, stream: Iterable[VoteArrival], statistics: ClassStatistics
) -> list[VoteResult]:
    """A stream of one class under a policy that has nothing to learn of it."""
    curve, rng = fit(statistics, price=setting.price, ladder=(1.0,)), Random(0)
    return [replay_query(setting, arrival, rng, curve)[0] for arrival in stream]


def mixed(streams: Sequence[Sequence[VoteArrival]], rng: Random) -> list[VoteArrival]:
    """One stream of all classes in random order; within a class the order stays."""
    turns = [number for number, stream in enumerate(streams) for _ in stream]
    rng.shuffle(turns)
    waiting = [iter(stream) for stream in streams]
    return [next(waiting[number]) for number in turns]
