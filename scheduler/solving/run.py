"""One query while it is being solved: what was dispatched, what came back, what it cost."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from policies.answer_spec import AnswerSpec
from policies.base import Branch, Conclude, Draw, Extend, Query, Situation, Stop
from policies.curves.curve import ClassCurve
from policies.plan import Budget, Plan
from policies.signals import Probe, Signals
from policies.tally import Tally
from scheduler.solving.answers import QueryAnswers
from scheduler.solving.exploration_runs import ExplorationRuns
from scheduler.solving.ledger import Account
from scheduler.solving.rounds import (
    DecisionStep,
    Round,
    SampleRecord,
    StepKind,
    ballot,
    in_order,
    kind_of,
    name_of,
    steers,
)
from scheduler.solving.starts import affordable, starts
from scheduler.solving.token_limits import expected_tokens, within_limits
from workers.answers.grader import Grader
from workers.engine import SampleRequest
from workers.forcing.chain import UNANSWERED
from workers.sample import Accepted, Delta, Sample

MAX_LOST_ROUNDS = 3
MAX_CHAINS = 1024


@dataclass(slots=True)
class QueryRun:
    """The state of one query. `solve` writes it; `build_outcome` reads it at the end."""

    query: Query
    account: Account
    #: The context of the model in tokens.
    room: int
    #: The most chains that the policy may draw.
    max_chains: int = MAX_CHAINS
    #: None until the class has a curve.
    curve: ClassCurve | None = None
    #: Accuracy that one token must buy.
    price: float = 0.0
    #: Queries running and waiting at this gateway, by chain slot of the engines.
    load: float = 0.0
    #: Exploration runs under way, of all queries of this gateway.
    exploration_runs: ExplorationRuns = field(default_factory=ExplorationRuns)
    #: What the engine calls the query: its id, unless another running query has the same. Empty
    #: is the id.
    engine_name: str = ""
    #: Whether the curves learn from this query.
    learns: bool = True
    #: Which of its answers are the same, and which are right.
    answers: QueryAnswers = field(default_factory=lambda: QueryAnswers(Grader(), AnswerSpec()))
    #: Whether the model's thinking format means a single chain to be greedy.
    greedy: bool = True
    #: Seconds, monotonic.
    clock: Callable[[], float] = time.monotonic
    tally: Tally = field(default_factory=Tally)
    #: Every sample that came back, in order; an extended chain has several.
    records: list[SampleRecord] = field(default_factory=list)
    #: Every decision that was carried out, in order.
    steps: list[DecisionStep] = field(default_factory=list)
    #: The policy's plan; None before its first decision.
    plan: Plan | None = None
    prompt_tokens: int = 0
    #: Set when the deadline has passed.
    late: bool = False
    #: Whether lengths or answers were changed otherwise than by a cap or an extension.
    steered: bool = False
    #: Thinkings that the verifier has judged.
    reward_calls: int = 0
    _round: Round | None = None
    _last: Draw | Extend | Branch | None = None
    _lost_rounds: int = 0
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()
        self.engine_name = self.engine_name or self.query.id

    @property
    def seconds(self) -> float:
        return self.clock() - self._began

    @property
    def tokens(self) -> int:
        return sum(record.sample.tokens for record in self.records)

    def _spent_on(self, chain: int) -> int:
        return sum(r.sample.tokens for r in self.records if r.sample.chain == chain)

    @property
    def samples(self) -> dict[int, Sample]:
        """The latest state of every chain that came back with an answer."""
        kept = [r.sample for r in self.records if r.sample.stop_cause not in UNANSWERED]
        return {sample.chain: sample for sample in kept}

    @property
    def resumable(self) -> dict[int, Sample]:
        """The latest state of every chain that can be gone on with."""
        paused = [r.sample for r in self.records if r.sample.stop_cause == "paused"]
        return {sample.chain: sample for sample in paused} | self.samples

    @property
    def max_thinking_tokens(self) -> int:
        """The cap of a chain by the context and the query's limits."""
        whole = Budget.within(None, answer_tokens=1)
        return within_limits(whole, self.query.limits, self.room).max_thinking_tokens

    @property
    def request(self) -> SampleRequest:
        assert self._round is not None, "nothing was dispatched"
        return self._round.request

    @property
    def pending(self) -> set[int]:
        return self._round.pending if self._round else set()

    def situation(self) -> Situation:
        probes: tuple[Probe, ...] = ()
        if running := self._round:
            thinking = running.pending - running.concluded
            probes = in_order(probe for probe in running.probes if probe.chain in thinking)
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
            exploration_runs_elsewhere=self.exploration_runs.elsewhere(self.query.query_class),
            learns=self.learns,
            greedy=self.greedy or self.query.sampling.temperature == 0,
            probes=probes,
        )

    def dispatch(
        self, decision: Draw | Extend | Branch | Conclude, *, stream: bool, votes: bool = True
    ) -> bool:
        """Begin a round: reserve its worst case and form its request.

        What the account cannot hold is made smaller: fewer chains first, then fewer trial answers
        and less thinking. `stream` wants the text of chain 0 live. `votes=False` draws chains that
        are only returned. False when nothing is affordable, or the query has had MAX_CHAINS
        samples or as many as its policy declares: a policy may not loop for ever. Raises
        ValueError for a Conclude, as no chain runs, and a Branch of a chain that has not paused.
        """
        if isinstance(decision, Conclude):
            raise ValueError(f"chain {decision.chain} cannot be concluded: no chain is running")
        if len(self.records) >= MAX_CHAINS:
            return False
        resume = self.samples[decision.chain] if isinstance(decision, Extend) else None
        limits = self.query.limits
        if resume and limits.max_chain_tokens is not None:
            # All that the chain has cost counts, but its thinking is counted with the new call's.
            dropped = self._spent_on(resume.chain) - resume.thinking_tokens
            limits = replace(limits, max_chain_tokens=max(1, limits.max_chain_tokens - dropped))
        budget = within_limits(decision.budget, limits, self.room)
        done = resume.thinking_tokens if resume else 0
        if isinstance(decision, Extend) and resume:
            if budget.max_thinking_tokens <= done:
                return False
            budget = replace(budget, extensions=resume.extensions + decision.extensions)
        concludes = isinstance(decision, Branch) and decision.conclude
        asked = starts(decision, self._numbers(votes=votes), self.resumable)
        left = self.account.left, self.account.spare
        round_ = affordable(asked, budget, decision.probing, *left, conclude=concludes)
        if round_ is None:
            return False
        budget, probing = round_.budget, round_.probing
        chains = [start.chain for start in round_.starts]
        plan = decision.plan or self.plan
        self._follow(plan or Plan(name_of(decision), decision.budget, decision.temperature))
        temperature = self._temperature(decision.temperature)
        request = SampleRequest(
            query=self.engine_name,
            messages=tuple(turn if turn.extra else turn[:2] for turn in self.query.messages),
            chains=tuple(chains),
            budget=budget,
            sampling=replace(self.query.sampling, temperature=temperature),
            parents=tuple(start.parent for start in round_.starts if start.parent),
            conclude=concludes,
            stream=0 if stream and 0 in chains else None,
            suffix=decision.suffix,
            probing=probing,
            signals=decision.signals or self._signals(chains),
            expected_tokens=expected_tokens(
                budget.capped(self.room), len(chains), done,
                plan=self.plan, spent=self.tokens, samples=len(self.records),
            ),
        )  # fmt: skip
        self._last = decision
        self._note(kind_of(decision, votes=votes), chains, budget)
        self._round = Round(
            request,
            reserved=round_.reserved,
            final=isinstance(decision, Draw) and decision.final,
            votes=votes,
            pending=set(chains),
        )
        self.account.reserve(self._round.reserved)
        self.steered |= steers(decision)
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

    def missing_choices(self) -> Draw | None:
        """The chains that the caller wants returned beside those that the policy has asked for.

        They are sampled as its last ones were, but never greedily, so that they differ. They cost
        tokens, and neither vote nor teach: the policy has stopped.
        """
        missing, last = self.query.choices - len(self.samples), self._last
        nothing = self.tally.leader is None and not self.answers.is_open_ended
        if missing <= 0 or last is None or nothing:
            return None
        budget = next(step.budget for step in reversed(self.steps) if step.budget)
        budget = replace(budget, step_tokens=None, step_text=None)
        return Draw(missing, budget, plan=self.plan, suffix=last.suffix)

    def _numbers(self, *, votes: bool) -> range:
        """The numbers that new chains may have."""
        first = 1 + max((record.sample.chain for record in self.records), default=-1)
        lost = {r.sample.chain for r in self.records if r.sample.stop_cause == "lost"}
        most = self.max_chains + len(lost) if votes else MAX_CHAINS
        return range(first, min(most, MAX_CHAINS))

    def _signals(self, chains: list[int]) -> Signals | None:
        """Of several replies that cannot vote, the surest is returned."""
        return Signals() if self.answers.is_open_ended and len(chains) > 1 else None

    def _temperature(self, planned: float | None) -> float | None:
        """The caller's temperature, unless it would make all votes the same."""
        asked = self.query.sampling.temperature
        return planned if asked is None or (asked == 0 and planned != 0) else asked

    def shows(self, event: Accepted | Delta) -> bool:
        """Whether to stream this: thinking always, an answer only if it will be the reply."""
        if isinstance(event, Accepted):
            first, self.prompt_tokens = self.prompt_tokens == 0, event.prompt_tokens
            return first
        return event.phase == "thinking" or (self._round is not None and self._round.final)

    def conclude(self, chain: int) -> bool:
        """Note that a chain is to end its thinking; False if it no longer thinks."""
        running = self._round
        if running is None or chain not in running.pending - running.concluded:
            return False
        running.concluded.add(chain)
        self.steered = True
        self._note("conclude", [chain])
        return True

    def _note(self, kind: StepKind, chains: list[int], budget: Budget | None = None) -> None:
        votes = len(self.tally.history)
        self.steps.append(DecisionStep(kind, tuple(chains), budget, votes, self.tokens))

    def take(self, event: Probe | Sample) -> None:
        """Keep a trial answer; count what a finished chain cost, and add its vote."""
        running = self._round
        assert running is not None, "nothing was dispatched"
        if isinstance(event, Probe):
            running.probes.append(event)
            return
        sample, request = event, running.request
        probes = in_order(probe for probe in running.probes if probe.chain == sample.chain)
        before, parent = self._spent_on(sample.chain), request.parent(sample.chain)
        record = SampleRecord(
            sample,
            request.sampling.temperature,
            before + sample.tokens,
            probes if request.probing else None,
            parent.chain if parent and parent.chain != sample.chain else None,
        )
        self.records.append(record)
        running.pending.discard(sample.chain)
        running.spent += sample.tokens
        running.lost |= sample.stop_cause == "lost"
        if sample.stop_cause in ("lost", "cancelled") or not running.votes:
            return
        self.tally = self.tally.add(ballot(record))

    def settle(self) -> None:
        """End the round: return what it did not spend to the account."""
        if (ended := self._round) is not None:
            self.account.settle(reserved=ended.reserved, spent=ended.spent)
            self._lost_rounds += bool(ended.pending) or ended.lost
        self._round = None

    def blocked(self) -> Stop | None:
        """Why the query cannot go on, whatever its policy says."""
        if self.late:
            return Stop("deadline")
        return Stop("failed") if self._lost_rounds >= MAX_LOST_ROUNDS else None
