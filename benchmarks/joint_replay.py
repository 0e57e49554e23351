"""One query, answered by any policy from chains that are all known beforehand.

A chain can be cut, tried and concluded; a trial that is asked for at some position comes there, or
at the first place after it where an answer is known.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Protocol

from policies.base import Conclude, Decision, Draw, Message, Policy, Query, Situation, Stop
from policies.curves.exit_statistics import POSITIONS
from policies.curves.plans.counts import Course, courses_of
from policies.curves.plans.curve import PlanCurve
from policies.curves.plans.settings import ChainSetting
from policies.plan import Budget, Plan
from policies.signals import Confidence, Probe, Probing
from policies.tally import Tally, Vote
from scheduler.experiments.recordings import Prefix

MAX_THINKING_TOKENS = 10**6


class KnownChain(Protocol):
    """A chain whose answers are known at some places, its own end included."""

    @property
    def tokens(self) -> int: ...

    def end(self, budget: Budget) -> Prefix:
        """Where it answers if nobody concludes it."""

    def trials(self, probing: Probing, budget: Budget) -> Iterable[Prefix]:
        """Before that end."""


class KnownQuestion(NamedTuple):
    """`right` says of every answer that a chain may give whether it is right."""

    query_class: str
    reference: str | None
    right: Mapping[str, bool]
    chains: Sequence[KnownChain]


class Costs(NamedTuple):
    """Tokens of one trial answer, its forced words included, and of the answer in the end."""

    trial: int = 24
    answer: int = 8


class KnownCurve(NamedTuple):
    """The part of a class's curve that `priced` looks at."""

    plans: PlanCurve | None
    referenced_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Everything(Policy):
    """All chains to their end, with a trial answer at every place: what shows every setting."""

    samples: int

    @property
    def name(self) -> str:
        return "everything"

    def decide(self, situation: Situation, rng: Random) -> Decision:
        if situation.tally.history and not situation.pending:
            return Stop("plan done")
        return Draw(self.samples, Budget.within(None), probing=Probing(at=POSITIONS))


class ReplayResult(NamedTuple):
    right: bool
    tokens: float
    courses: Sequence[Course]
    is_exploration: bool


def solve(
    policy: Policy,
    asked: KnownQuestion,
    rng: Random,
    costs: Costs,
    *,
    price: float = 0.0,
    curve: KnownCurve | None = None,
    labelled: bool = False,
) -> ReplayResult:
    """What a scheduler does for one query. A `labelled` query brings its right answer."""
    reference = asked.reference if labelled else None
    query = Query("q", (Message("user", "q"),), asked.query_class, reference=reference)
    tally, tried = Tally(), list[Probe]()
    plan: Plan | None = None

    def situation(pending: int = 0, probes: Sequence[Probe] = ()) -> Situation:
        return Situation(
            query=query,
            tally=tally,
            max_thinking_tokens=MAX_THINKING_TOKENS,
            curve=curve,  # type: ignore[arg-type]  # all that is looked at
            price=price,
            plan=plan,
            pending=pending,
            probes=tuple(probes),
            greedy=False,
        )

    while not isinstance(decision := policy.decide(situation(), rng), Stop):
        drawn = len(tally.votes)
        if drawn == len(asked.chains):
            break
        if not isinstance(decision, Draw):
            raise ValueError(f"known chains have no extensions, got {decision!r}")
        plan, budget = decision.plan, decision.budget
        for number, chain in enumerate(asked.chains[drawn : drawn + decision.samples], start=drawn):
            end, probes = chain.end(budget), list[Probe]()
            cause = "natural" if end.tokens >= chain.tokens else "max_thinking"
            for trial in chain.trials(decision.probing, budget) if decision.probing else ():
                probes.append(
                    Probe(number, trial.tokens, trial.answer, trial.probability, "", costs.trial)
                )
                if isinstance(policy.decide(situation(1, probes), rng), Conclude):
                    end, cause = trial, "early_exit"
                    break
            tokens = end.tokens + costs.answer + len(probes) * costs.trial
            sure = Confidence(answer=end.probability)
            tally = tally.add(
                Vote(number, end.answer, tokens, end.tokens, 0, cause, confidence=sure)
            )
            tried += probes
    is_exploration = plan is not None and plan.is_exploration
    setting = plan.setting if plan and plan.setting else ChainSetting(tried=True)
    return ReplayResult(
        tally.leader is not None and asked.right[tally.leader],
        tally.tokens,
        courses_of(tally.history, tried, setting),
        is_exploration,
    )
