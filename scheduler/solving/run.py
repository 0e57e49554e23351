"""One query while it is being solved: what was dispatched, what came back, what it cost."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

from policies.base import Conclude, Draw, Extend, Query, Situation, Stop
from policies.curves.curve import ClassCurve
from policies.plan import Budget, Plan
from policies.signals import Confidence, ProbeResult
from policies.tally import Tally, Vote
from scheduler.solving.exploration_runs import ExplorationRuns
from scheduler.solving.ledger import Account
from scheduler.solving.token_limits import fit, worst_case
from workers.engine import Probing, SampleRequest, Signals
from workers.forcing import UNANSWERED, Forcing
from workers.sample import Accepted, Delta, Probe, Sample

# What a query's caller may wish of the engine, and no policy has a say in.
PASSED_ON = (
    "top_p", "seed", "logprobs", "tools", "tool_choice", "response_format", "priority", "salt",
)  # fmt: skip
MAX_LOST_WAVES = 3
MAX_CHAINS = 1024


class SampleRecord(NamedTuple):
    """A sample with what it was asked for, and the whole cost of its chain so far.

    `probes` are its trial answers, in the order of their tokens; None where none were asked for.
    """

    sample: Sample
    temperature: float | None
    chain_tokens: int
    probes: tuple[Probe, ...] | None = None


class DecisionStep(NamedTuple):
    """One decision, and how far the query was: ballots cast, tokens of finished chains spent."""

    says: str
    chains: tuple[int, ...]
    budget: Budget | None
    votes: int
    tokens: int


class _Wave(NamedTuple):
    request: SampleRequest
    reserved: int
    final: bool


@dataclass(slots=True)
class QueryRun:
    """`steered` tells whether lengths and answers were bent otherwise than by a cap or a "Wait"."""

    query: Query
    account: Account
    max_thinking_tokens: int
    curve: ClassCurve | None = None
    price: float = 0.0
    load: float = 0.0
    exploration_runs: ExplorationRuns = field(default_factory=ExplorationRuns)
    learns: bool = True
    clock: Callable[[], float] = time.monotonic
    tally: Tally = field(default_factory=Tally)
    records: list[SampleRecord] = field(default_factory=list)
    steps: list[DecisionStep] = field(default_factory=list)
    plan: Plan | None = None
    pending: set[int] = field(default_factory=set)
    prompt_tokens: int = 0
    late: bool = False
    steered: bool = False
    _more: bool = False
    _last: Draw | Extend | None = None
    _probes: list[Probe] = field(default_factory=list)
    _concluded: set[int] = field(default_factory=set)
    _wave: _Wave | None = None
    _wave_spent: int = 0
    _wave_lost: bool = False
    _lost_waves: int = 0
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @property
    def seconds(self) -> float:
        return self.clock() - self._began

    @property
    def tokens(self) -> int:
        return sum(record.sample.tokens for record in self.records)

    @property
    def samples(self) -> dict[int, Sample]:
        """The latest state of every chain that came back with an answer."""
        kept = [r.sample for r in self.records if r.sample.stop_cause not in UNANSWERED]
        return {sample.chain: sample for sample in kept}

    @property
    def request(self) -> SampleRequest:
        assert self._wave is not None, "nothing was dispatched"
        return self._wave.request

    def situation(self) -> Situation:
        thinking = self.pending - self._concluded
        probes = _in_order(probe for probe in self._probes if probe.chain in thinking)
        return Situation(
            query=self.query,
            tally=self.tally,
            max_thinking_tokens=self.max_thinking_tokens,
            curve=self.curve,
            price=self.price,
            plan=self.plan,
            pending=len(self.pending),
            tokens_spent=self.tokens,
            seconds_spent=self.seconds,
            load=self.load,
            exploration_runs=self.exploration_runs.of(self.query.query_class),
            learns=self.learns,
            probes=tuple(
                ProbeResult(p.chain, p.thinking_tokens, p.answer, p.probability, p.text)
                for p in probes
            ),
        )

    def dispatch(self, decision: Draw | Extend | Conclude, *, stream: bool) -> bool:
        """Reserve the wave's worst case and form its request; False when nothing is affordable.

        Nor is anything once a query has had MAX_CHAINS samples: a policy may not loop for ever.

        What does not fit into the account is made smaller: fewer chains first, then fewer trial
        answers and less thinking.
        """
        if isinstance(decision, Conclude):
            raise ValueError(f"chain {decision.chain} cannot be concluded: no chain is running")
        if len(self.records) >= MAX_CHAINS:
            return False
        resume = self.samples[decision.chain] if isinstance(decision, Extend) else None
        budget, chains, probing = decision.budget, self._chains(decision), decision.probing
        done = resume.thinking_tokens if resume else 0
        if isinstance(decision, Extend) and resume:
            if budget.max_thinking_tokens <= done:
                return False
            budget = replace(budget, extensions=resume.extensions + decision.extensions)
        if (left := self.account.left) is not None:
            chains = chains[: max(1, left // worst_case(budget, probing, done=done))]
            fitting = fit(budget, probing, left, done=done)
            if fitting is None:
                return False
            budget, probing = fitting
        if not chains:
            return False
        plan = decision.plan or self.plan
        self._follow(plan or Plan(_name(decision), decision.budget, decision.temperature))
        request = SampleRequest(
            query=self.query.id,
            messages=tuple(turn if turn.extra else turn[:2] for turn in self.query.messages),
            chains=tuple(chains),
            forcing=Forcing(**asdict(budget)),
            temperature=self._temperature(decision.temperature),
            resume=resume,
            stream=0 if stream and 0 in chains else None,
            suffix=decision.suffix,
            probing=Probing(**asdict(probing)) if probing else None,
            signals=Signals(**asdict(decision.signals)) if decision.signals else None,
            **{name: getattr(self.query, name) for name in PASSED_ON},
            expected_tokens=self._expected(budget, len(chains), done),
        )
        self._last = decision
        final = isinstance(decision, Draw) and decision.final
        reserved = worst_case(budget, probing, done=done) * len(chains)
        self._wave = _Wave(request, reserved, final)
        self._note("more" if self._more else "extend" if resume else "draw", chains, budget)
        self.account.reserve(reserved)
        self.pending, self._wave_spent, self._wave_lost = set(chains), 0, False
        self._probes, self._concluded = [], set()
        self.steered |= _steers(decision)
        return True

    def _follow(self, plan: Plan) -> None:
        self.leave()
        if plan.is_exploration:
            self.exploration_runs.begin(self.query.query_class, plan)
        self.plan = plan

    def leave(self) -> None:
        """Count no more as an exploration run that is under way."""
        if self.plan is not None and self.plan.is_exploration:
            self.exploration_runs.end(self.query.query_class, self.plan)

    def more(self) -> Draw | None:
        """The chains that the caller wants to see beside those that the policy has asked for.

        They are sampled as its last ones were, but never greedily, so that they differ. They cost,
        and they neither vote nor teach: the policy has had its say.
        """
        missing, last = self.query.choices - len(self.samples), self._last
        if missing <= 0 or last is None or self.tally.leader is None:
            return None
        budget = next(step.budget for step in reversed(self.steps) if step.budget)
        self._more = True
        return Draw(missing, budget, plan=self.plan, suffix=last.suffix)

    def _expected(self, budget: Budget, chains: int, done: int) -> int:
        """What a wave will likely take: as planned, or past that as its chains did so far; without
        a forecast all that it may within the context.
        """
        most = worst_case(budget.capped(self.max_thinking_tokens), done=done) * chains
        if self.plan is None or self.plan.forecast is None:
            return most
        planned = math.ceil(self.plan.forecast.tokens) - self.tokens
        usual = chains * self.tokens // max(1, len(self.records))
        return max(1, min(most, planned if planned > 0 else usual))

    def _chains(self, decision: Draw | Extend) -> list[int]:
        """The numbers of the chains that a decision asks for."""
        if isinstance(decision, Extend):
            return [decision.chain]
        first = 1 + max((record.sample.chain for record in self.records), default=-1)
        return list(range(first, first + min(decision.samples, MAX_CHAINS - first)))

    def _temperature(self, planned: float | None) -> float | None:
        """The caller's temperature, unless it would make all votes the same."""
        wish = self.query.temperature
        return planned if wish is None or (wish == 0 and planned != 0) else wish

    def shows(self, event: Accepted | Delta) -> bool:
        """Whether to show this live: thinking always, an answer only if it is the last word."""
        if isinstance(event, Accepted):
            first, self.prompt_tokens = self.prompt_tokens == 0, event.prompt_tokens
            return first
        return event.phase == "thinking" or (self._wave is not None and self._wave.final)

    def conclude(self, chain: int) -> bool:
        """Note that a chain is to end its thinking; False if it does not think any more."""
        if chain not in self.pending - self._concluded:
            return False
        self._concluded.add(chain)
        self.steered = True
        self._note("conclude", [chain])
        return True

    def _note(self, says: str, chains: list[int], budget: Budget | None = None) -> None:
        votes = len(self.tally.history)
        self.steps.append(DecisionStep(says, tuple(chains), budget, votes, self.tokens))

    def take(self, event: Probe | Sample) -> None:
        """Keep a trial answer; count what a finished chain cost, and let it cast its ballot.

        A chain without an answer of its own is the record of a try; one that was lost or cancelled
        is not even that.
        """
        assert self._wave is not None
        if isinstance(event, Probe):
            self._probes.append(event)
            return
        sample, asked = event, self._wave.request
        probes = _in_order(probe for probe in self._probes if probe.chain == sample.chain)
        before = sum(r.sample.tokens for r in self.records if r.sample.chain == sample.chain)
        cost = before + sample.tokens
        record = SampleRecord(sample, asked.temperature, cost, probes if asked.probing else None)
        self.records.append(record)
        self.pending.discard(sample.chain)
        self._wave_spent += sample.tokens
        self._wave_lost |= sample.stop_cause == "lost"
        if sample.stop_cause in ("lost", "cancelled") or self._more:
            return
        self.tally = self.tally.add(
            Vote(
                chain=sample.chain,
                answer=None if sample.stop_cause in UNANSWERED else sample.answer,
                tokens=record.chain_tokens,
                thinking_tokens=sample.thinking_tokens,
                extensions=sample.extensions,
                stop_cause=sample.stop_cause,
                confidence=Confidence(*sample.confidence) if sample.confidence else None,
            )
        )

    def settle(self) -> None:
        """The wave is over: give back what it did not spend."""
        if self._wave is not None:
            self.account.settle(reserved=self._wave.reserved, spent=self._wave_spent)
            self._lost_waves += bool(self.pending) or self._wave_lost
        self._wave, self.pending = None, set()

    def blocked(self) -> Stop | None:
        """Why the query cannot go on, whatever its policy says."""
        if self.late:
            return Stop("deadline")
        return Stop("failed") if self._lost_waves >= MAX_LOST_WAVES else None


def _name(decision: Draw | Extend) -> str:
    return "extend" if isinstance(decision, Extend) else f"draw {decision.samples}"


def _steers(decision: Draw | Extend) -> bool:
    """Whether a decision bends what chains do otherwise than by a cap or a "Wait"."""
    budget, signals = decision.budget, decision.signals
    ends = signals is not None and signals.end_below is not None
    own_text = budget.extension_text is not None
    return bool(decision.suffix) or ends or own_text or budget.compat or not budget.answer_when_cut


def _in_order(probes: Iterable[Probe]) -> tuple[Probe, ...]:
    return tuple(sorted(probes, key=lambda probe: (probe.chain, probe.thinking_tokens)))
