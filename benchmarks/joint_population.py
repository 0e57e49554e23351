"""Six classes of questions whose chains may be cut, sampled and tried: the population of `joint`.

A question has a chance to be solved, a typical time to solve it in tokens, and perhaps a misleading
answer that errors agree on. A chain that is cut early is right less often; those of one class are
right more often shortly before their end than at it (overthinking, arXiv 2506.04210).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from policies.base import Conclude, Draw, Message, Policy, Query, Situation, Stop
from policies.curves.joint.courses import Course, courses_of
from policies.curves.joint.curve import JointCurve
from policies.plan import Plan
from policies.signals import Probe
from policies.tally import Tally, Vote

ANSWER_TOKENS, TRIAL_TOKENS = 20, 24
MAX_THINKING_TOKENS = 10**6
CHAINS = 16


class ClassLaw(NamedTuple):
    """A chain that ends is right with a chance from Beta(a, b); `tau` is its median length."""

    a: float
    b: float
    tau: float
    sigma: float
    misleading: float
    overthinking: float = 0.0


LAWS = (
    ClassLaw(6, 1.0, 500, 0.6, 0.02),
    ClassLaw(2.2, 1.0, 1500, 0.7, 0.05),
    ClassLaw(1.2, 1.2, 4000, 0.7, 0.08),
    ClassLaw(0.5, 1.5, 7000, 0.6, 0.1),
    ClassLaw(2.0, 0.6, 900, 0.5, 0.03, overthinking=0.12),
    ClassLaw(1.0, 0.8, 300, 0.5, 0.15),
)


class CutChain(NamedTuple):
    """One chain: its length, its luck, and the answer that it gives where it is wrong."""

    length: int
    luck: float
    error: int

    def answer(self, law: ClassLaw, solved: float, tokens: float) -> str:
        """What it would answer after so many thinking tokens; "0" is right."""
        part = tokens / self.length
        if part >= 1:
            chance = max(0.02, solved - law.overthinking) if law.overthinking else solved
        elif law.overthinking and part > 0.35:
            chance = solved
        else:
            chance = 0.08 + (solved - 0.08) * 0.85 * part**1.5
        return "0" if self.luck < chance else str(self.error)


@dataclass(frozen=True, slots=True)
class CutQuestion:
    law: ClassLaw
    query_class: str
    solved: float
    chains: tuple[CutChain, ...]


def question(number: int, rng: Random) -> CutQuestion:
    """Of class `number`, with all chains that may ever be drawn."""
    law = LAWS[number]
    solved = rng.betavariate(law.a, law.b)
    tau = law.tau * math.exp(rng.gauss(0, law.sigma) + 0.8 * (0.6 - solved))
    follows = 0.75 if rng.random() < law.misleading else 0.3
    chains = tuple(
        CutChain(
            max(1, int(tau * math.exp(rng.gauss(0, 0.35)))),
            rng.random(),
            1 if rng.random() < follows else 2 + rng.randrange(8),
        )
        for _ in range(CHAINS)
    )
    return CutQuestion(law, str(number), solved, chains)


class KnownCurve(NamedTuple):
    """The part of a class's curve that `joint` looks at."""

    joint: JointCurve | None
    referenced_share: float = 0.0


class CutResult(NamedTuple):
    right: bool
    tokens: float
    courses: Sequence[Course]
    is_exploration: bool


def solve(
    policy: Policy,
    asked: CutQuestion,
    rng: Random,
    *,
    price: float,
    curve: KnownCurve,
    labelled: bool,
) -> CutResult:
    """What a scheduler does for one query. A `labelled` query brings its right answer."""
    reference = "0" if labelled else None
    query = Query("q", (Message("user", "q"),), asked.query_class, reference=reference)
    tally, tried = Tally(), list[Probe]()
    plan: Plan | None = None
    cap = MAX_THINKING_TOKENS

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
        )

    while not isinstance(decision := policy.decide(situation(), rng), Stop):
        if not isinstance(decision, Draw):
            raise ValueError(f"chains of this population have no extensions, got {decision!r}")
        plan, cap = decision.plan, decision.budget.max_thinking_tokens
        drawn = len(tally.votes)
        for number in range(drawn, min(CHAINS, drawn + decision.samples)):
            chain, probes = asked.chains[number], list[Probe]()
            end, cause = (
                min(chain.length, cap),
                "natural" if chain.length <= cap else "max_thinking",
            )
            for at in decision.probing.at if decision.probing else ():
                if at >= end:
                    break
                answer = chain.answer(asked.law, asked.solved, at)
                probes.append(Probe(number, at, answer, 0.5, "", TRIAL_TOKENS))
                if isinstance(policy.decide(situation(1, probes), rng), Conclude):
                    end, cause = at, "early_exit"
                    break
            answer = chain.answer(asked.law, asked.solved, end)
            tokens = end + ANSWER_TOKENS + len(probes) * TRIAL_TOKENS
            tally = tally.add(Vote(number, answer, tokens, end, 0, cause))
            tried += probes
    courses = courses_of(tally.history, tried, lambda vote: vote.stop_cause != "natural")
    is_exploration = plan is not None and plan.is_exploration
    return CutResult(tally.leader == "0", tally.tokens, courses, is_exploration)
