"""What is kept of a query's rounds: the chains of one decision, and the records of the past."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from policies.base import Branch, Draw, Extend
from policies.plan import Budget
from policies.signals import Probe
from policies.tally import Vote
from workers.engine import SampleRequest
from workers.forcing.chain import UNANSWERED
from workers.sample import Accepted, Delta, Sample

StepKind = Literal["draw", "extend", "branch", "conclude", "choices"]


class SampleRecord(NamedTuple):
    """A sample, what it was asked for, and the whole cost of its chain so far.

    `probes` are its trial answers in the order of their tokens; None where none were asked for.
    `parent` is the chain whose thinking it went on from. `rewards` are those of its steps, where a
    verifier was asked.
    """

    sample: Sample
    temperature: float | None
    chain_tokens: int
    probes: tuple[Probe, ...] | None = None
    parent: int | None = None
    rewards: tuple[float, ...] | None = None


class DecisionStep(NamedTuple):
    """One decision, and how far the query was: votes so far, tokens of finished chains.

    The kind "choices" is not the policy's: these chains are only drawn to be returned (`n`).
    """

    kind: StepKind
    chains: tuple[int, ...]
    budget: Budget | None
    votes: int
    tokens: int


# What a caller may see of a query while it happens: a step when the engine has taken its chains, a
# sample when its chain has ended.
LiveEvent = Accepted | Delta | DecisionStep | Sample
OnEvent = Callable[[LiveEvent], None]


@dataclass(slots=True)
class Round:
    """The chains of one decision, from dispatch to settlement."""

    request: SampleRequest
    #: Tokens reserved in the account: the worst case of all its chains.
    reserved: int
    #: Whether the answer of its one chain is the reply, so that it may be streamed.
    final: bool
    #: Whether its chains vote and teach.
    votes: bool
    #: Chains that have not come back.
    pending: set[int]
    probes: list[Probe] = field(default_factory=list)
    #: Chains whose thinking was concluded.
    concluded: set[int] = field(default_factory=set)
    #: Tokens of the chains that came back.
    spent: int = 0
    #: Whether a chain was lost with its engine.
    lost: bool = False


def ballot(record: SampleRecord) -> Vote:
    """What a chain says, as the policy sees it."""
    sample = record.sample
    return Vote(
        chain=sample.chain,
        answer=None if sample.stop_cause in UNANSWERED else sample.answer,
        tokens=record.chain_tokens,
        thinking_tokens=sample.thinking_tokens,
        extensions=sample.extensions,
        stop_cause=sample.stop_cause,
        confidence=sample.confidence,
        parent=record.parent,
    )


def in_order(probes: Iterable[Probe]) -> tuple[Probe, ...]:
    """By chain, and then by where they branched off."""
    return tuple(sorted(probes, key=lambda probe: (probe.chain, probe.thinking_tokens)))


def kind_of(decision: Draw | Extend | Branch, *, votes: bool = True) -> StepKind:
    if isinstance(decision, Draw):
        return "draw" if votes else "choices"
    return "extend" if isinstance(decision, Extend) else "branch"


def name_of(decision: Draw | Extend | Branch) -> str:
    """Of the plan of a policy that has none."""
    return f"draw {decision.samples}" if isinstance(decision, Draw) else kind_of(decision)


def steers(decision: Draw | Extend | Branch | SampleRequest) -> bool:
    """Whether it changes what chains do otherwise than by a cap or an extension."""
    budget, signals = decision.budget, decision.signals
    ends = signals is not None and signals.end_below is not None
    own_text = budget.extension_text is not None
    steps = isinstance(decision, Branch) or budget.step_tokens is not None
    told = bool(decision.suffix) or own_text
    return told or ends or steps or budget.compat or not budget.answer_when_cut
