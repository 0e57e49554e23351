"""Policies replayed on prefix traces: every one decides on what the scheduler would show it.

A recorded chain can be tried, concluded or cut only where an answer was forced out of it: a trial
that is asked for at some position comes at the first such prefix at or past it (for the ends of
paragraphs: at every one), and a cap cuts at the last prefix that it has room for, which alone is
paid. Policies meet the same chains in the same order. A policy that learns starts cold, and is
given the right answers of some queries only.

Prefixes at fixed shares of a chain reveal its length by their positions, which no
live chain does: rules that look at tokens and trials both may do somewhat better here than live.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from benchmarks.replay import reference
from policies.base import Conclude, Decision, Draw, Message, Policy, Query, Situation, Stop
from policies.curves.plans.counts import Course, PlanCounts, courses_of
from policies.curves.plans.curve import PlanCurve, fit_plans
from policies.curves.plans.settings import ChainSetting
from policies.plan import Budget, Plan
from policies.signals import Probe, Probing
from policies.tally import Tally, Vote
from scheduler.experiments.recordings import Prefix, PrefixTrace, Traced

MAX_THINKING_TOKENS = 10**6
LABELLED = 0.1


class Costs(NamedTuple):
    """Tokens of one trial answer, its forced words included, and of the answer in the end."""

    trial: int = 24
    answer: int = 8


COSTS = Costs()


@dataclass(frozen=True, slots=True)
class PrefixSetting:
    """One policy with its options; `price` is the accuracy that one token must buy, if any."""

    family: str
    label: str
    policy: Policy
    price: float = 0.0


class PrefixCurve(NamedTuple):
    """The part of a class's curve that a policy on prefix traces looks at."""

    plans: PlanCurve | None
    referenced_share: float = 0.0


class PrefixArrival(NamedTuple):
    """A chain, by its place in the trace, and whether its right answer will be given."""

    chain: int
    labelled: bool


class PrefixResult(NamedTuple):
    right: bool
    tokens: int


class PrefixCourse(NamedTuple):
    """How one chain went, and which of its answers are right."""

    course: Course
    is_exploration: bool
    right: Mapping[str, bool]

    def truth(self, answer: str | None) -> bool:
        return self.right.get(answer or "", False)


def thinned(trace: PrefixTrace, keep: float, rng: Random) -> PrefixTrace:
    """Only a share of the prefixes on the way, at random, so that their places reveal less."""
    chains = []
    for chain in trace.chains:
        last = len(chain.prefixes) - 1
        prefixes = [
            p for n, p in enumerate(chain.prefixes) if n in (0, last) or rng.random() < keep
        ]
        chains.append(chain._replace(prefixes=tuple(prefixes)))
    return trace._replace(chains=tuple(chains))


def arrivals(
    chains: Sequence[int], queries: int, rng: Random, labels: float
) -> list[PrefixArrival]:
    """Of these chains, with replacement."""
    return [PrefixArrival(rng.choice(chains), rng.random() < labels) for _ in range(queries)]


def replay_chain(
    setting: PrefixSetting,
    trace: PrefixTrace,
    chain: Traced,
    rng: Random,
    curve: PrefixCurve | None = None,
    costs: Costs = COSTS,
    *,
    labelled: bool = False,
) -> tuple[PrefixResult, PrefixCourse]:
    """Answer one query with one chain; the course has all its trials' answers, right or not."""
    right = {p.answer: p.right for p in chain.prefixes if p.answer is not None}
    query = Query(
        chain.question,
        (Message("user", chain.question),),
        trace.query_class,
        reference=reference(a for a in right if right[a]) if labelled else None,
    )

    def decide(tally: Tally, plan: Plan | None, probes: Sequence[Probe], pending: int) -> Decision:
        return setting.policy.decide(
            Situation(
                query=query,
                tally=tally,
                max_thinking_tokens=MAX_THINKING_TOKENS,
                curve=curve,  # type: ignore[arg-type]  # all that is looked at
                price=setting.price,
                plan=plan,
                pending=pending,
                probes=tuple(probes),
                greedy=False,
            ),
            rng,
        )

    begin = decide(Tally(), None, (), 0)
    if not isinstance(begin, Draw) or begin.samples != 1:
        raise ValueError(f"{setting.label}: one chain was recorded, got {begin!r}")
    probes: list[Probe] = []
    answered, cause = chain_end(chain, begin.budget), "natural"
    for prefix in probed(chain, begin.probing, begin.budget):
        probes.append(Probe(0, prefix.tokens, prefix.answer, prefix.probability, "", costs.trial))
        decision = decide(Tally(), begin.plan, probes, 1)
        if isinstance(decision, Conclude):
            answered, cause = prefix, "early_exit"
            break
        if isinstance(decision, Stop):
            answered, cause = Prefix(prefix.tokens, None, 0.0, False), "cancelled"
            break
    tokens = answered.tokens + len(probes) * costs.trial + costs.answer
    vote = Vote(0, answered.answer, tokens, answered.tokens, 0, cause)
    last = decide(Tally((vote,)), begin.plan, (), 0)
    if vote.answer is not None and not isinstance(last, Stop):
        raise ValueError(f"{setting.label}: one chain was recorded, got {last!r}")
    plan = begin.plan
    spent = plan.setting if plan and plan.setting else ChainSetting(tried=True)
    courses = courses_of((vote,), probes, spent)
    explored = plan is not None and plan.is_exploration
    return PrefixResult(answered.right, tokens), PrefixCourse(courses[0], explored, right)


def chain_end(chain: Traced, budget: Budget) -> Prefix:
    """Where a chain answers that nobody concludes: its own end, or where its cap cuts it."""
    cap = budget.max_thinking_tokens
    if cap >= chain.tokens:
        return chain.prefixes[-1]._replace(tokens=chain.tokens)
    within = [prefix for prefix in chain.prefixes if prefix.tokens <= cap]
    return within[-1] if within else Prefix(cap, None, 0.0, False)


def probed(chain: Traced, probing: Probing | None, budget: Budget) -> Iterable[Prefix]:
    """The prefixes at which a chain is asked for a trial answer."""
    if probing is None:
        return
    limit = min(chain.tokens, budget.max_thinking_tokens + 1)
    done, count = 0, 0
    for prefix in chain.prefixes:
        if not done < prefix.tokens < limit or count >= probing.most:
            continue
        every = probing.every
        is_due = probing.paragraphs or any(done < at <= prefix.tokens for at in probing.at)
        if is_due or (every and prefix.tokens // every > done // every):
            done, count = prefix.tokens, count + 1
            yield prefix


def _unknown(answer: str | None) -> None:
    """Nobody says whether it is right."""


class PrefixLearner:
    """A curve store in small, of one class: refits when a tenth has come in."""

    def __init__(self, price: float) -> None:
        self._price = price
        self._known = PlanCounts()
        self._unfitted = self._referenced = 0
        self.curve = PrefixCurve(None)

    def observe(self, shown: PrefixCourse, *, labelled: bool) -> None:
        truth = shown.truth if labelled else _unknown
        self._known.observe([shown.course], truth, is_exploration=shown.is_exploration)
        self._unfitted += 1
        self._referenced += labelled
        if self._unfitted >= 0.1 * self._known.queries:
            self._unfitted = 0
            plans = fit_plans(self._known, prices=[self._price])
            self.curve = PrefixCurve(plans, self._referenced / self._known.queries)


def replay(
    setting: PrefixSetting,
    trace: PrefixTrace,
    stream: Sequence[PrefixArrival],
    seed: int,
    costs: Costs = COSTS,
) -> tuple[list[PrefixResult], PrefixCurve]:
    """A stream under a policy that learns, and what it knows in the end."""
    rng, learner, outcomes = Random(seed), PrefixLearner(setting.price), []
    for arrival in stream:
        chain, labelled = trace.chains[arrival.chain], arrival.labelled
        result, shown = replay_chain(
            setting, trace, chain, rng, learner.curve, costs, labelled=labelled
        )
        learner.observe(shown, labelled=labelled)
        outcomes.append(result)
    return outcomes, learner.curve
