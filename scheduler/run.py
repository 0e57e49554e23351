"""One query while it is being solved: what was dispatched, what came back, what it cost."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

from policies.base import Draw, Extend, Query, Situation, Stop
from policies.curve import ClassCurve
from policies.plan import Budget, Plan
from policies.tally import Ballot, Tally
from scheduler.ledger import Account
from workers.engine import SampleRequest
from workers.forcing import Forcing
from workers.sample import Accepted, Delta, Sample

# Delimiters and dropped stops come on top of a chain's budget: this many tokens, and two a Wait.
DELIMITER_TOKENS = 32
LEAST_ANSWER_TOKENS = 16
MAX_LOST_WAVES = 3
MAX_CHAINS = 1024


class Record(NamedTuple):
    """A sample with what it was asked for, and the whole cost of its chain so far."""

    sample: Sample
    temperature: float | None
    chain_tokens: int


class _Wave(NamedTuple):
    request: SampleRequest
    plan: Plan
    reserved: int
    final: bool


@dataclass(slots=True)
class Run:
    query: Query
    account: Account
    max_thinking_tokens: int
    curve: ClassCurve | None = None
    price: float = 0.0
    load: float = 0.0
    clock: Callable[[], float] = time.monotonic
    tally: Tally = field(default_factory=Tally)
    records: list[Record] = field(default_factory=list)
    plan: Plan | None = None
    pending: set[int] = field(default_factory=set)
    prompt_tokens: int = 0
    late: bool = False
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
        """The latest state of every chain that came back with something."""
        kept = [r.sample for r in self.records if r.sample.stop_cause not in ("lost", "cancelled")]
        return {sample.chain: sample for sample in kept}

    @property
    def request(self) -> SampleRequest:
        assert self._wave is not None, "nothing was dispatched"
        return self._wave.request

    def situation(self) -> Situation:
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
        )

    def dispatch(self, decision: Draw | Extend, *, stream: bool) -> bool:
        """Reserve the wave's worst case and form its request; False when nothing is affordable.

        Nor is anything once a query has had MAX_CHAINS samples: a policy may not loop for ever.

        What does not fit into the account is made smaller: fewer chains first, then less thinking.
        """
        if len(self.records) >= MAX_CHAINS:
            return False
        if isinstance(decision, Extend):
            resume: Sample | None = self.samples[decision.chain]
            extensions = self.samples[decision.chain].extensions + decision.extensions
            budget, chains = (
                replace(decision.budget, extensions=extensions),
                [decision.chain],
            )
        else:
            resume, budget = None, decision.budget
            first = 1 + max((record.sample.chain for record in self.records), default=-1)
            chains = list(range(first, first + min(decision.samples, MAX_CHAINS - first)))
        done = resume.thinking_tokens if resume else 0
        if (left := self.account.left) is not None:
            chains = chains[: max(1, left // _worst_case(budget, done))]
            fitting = _within(budget, left, done)
            if fitting is None:
                return False
            budget = fitting
        if not chains:
            return False
        plan = decision.plan or self.plan
        self.plan = plan or Plan(_name(decision), decision.budget, decision.temperature)
        request = SampleRequest(
            query=self.query.id,
            messages=tuple((turn.role, turn.content) for turn in self.query.messages),
            chains=tuple(chains),
            forcing=Forcing(**asdict(budget)),
            temperature=self._temperature(decision.temperature),
            resume=resume,
            stream=0 if stream and 0 in chains else None,
        )
        final = isinstance(decision, Draw) and decision.final
        self._wave = _Wave(request, self.plan, _worst_case(budget, done) * len(chains), final)
        self.account.reserve(self._wave.reserved)
        self.pending, self._wave_spent, self._wave_lost = set(chains), 0, False
        return True

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

    def take(self, sample: Sample) -> None:
        """Count what a chain cost; a chain that is there to vote casts its ballot."""
        assert self._wave is not None
        before = sum(r.sample.tokens for r in self.records if r.sample.chain == sample.chain)
        record = Record(sample, self._wave.request.temperature, before + sample.tokens)
        self.records.append(record)
        self.pending.discard(sample.chain)
        self._wave_spent += sample.tokens
        self._wave_lost |= sample.stop_cause == "lost"
        if sample.stop_cause in ("lost", "cancelled"):
            return
        self.tally = self.tally.add(
            Ballot(
                chain=sample.chain,
                answer=sample.answer,
                tokens=record.chain_tokens,
                thinking_tokens=sample.thinking_tokens,
                extensions=sample.extensions,
                stop_cause=sample.stop_cause,
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


def _within(budget: Budget, left: int, done: int) -> Budget | None:
    """The budget, made smaller if one chain's worst case is above `left`: thinking gives way first.

    `done` is what the chain has thought already. None when not even a short answer fits.
    """
    excess = _worst_case(budget, done) - left
    if excess <= 0:
        return budget
    answer = min(budget.answer_tokens, max(LEAST_ANSWER_TOKENS, left // 4))
    most = budget.max_thinking_tokens + budget.answer_tokens - answer - excess
    most = min(most, budget.max_thinking_tokens)
    if most < done or (most == done and done > 0):
        return None
    least = min(budget.min_thinking_tokens, most)
    return replace(
        budget, max_thinking_tokens=most, min_thinking_tokens=least, answer_tokens=answer
    )


def _worst_case(budget: Budget, done: int) -> int:
    room = DELIMITER_TOKENS + 2 * budget.extensions
    return max(0, budget.max_thinking_tokens - done) + budget.answer_tokens + room


def _name(decision: Draw | Extend) -> str:
    return "extend" if isinstance(decision, Extend) else f"draw {decision.samples}"
