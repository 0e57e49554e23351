"""What a policy may see and what it may say.

Everything here is a value: no I/O, no clock, no Ray. A policy reads a `Situation` and answers with
`Draw`, `Extend`, `Conclude` or `Stop`; the scheduler enacts the answer, and may refuse it (limits,
ledger).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from policies.options import PolicyOptions
from policies.plan import Budget, Plan, check_int
from policies.sampling import SamplingParams
from policies.signals import Probe, Probing, Signals
from policies.tally import Tally

if TYPE_CHECKING:
    from policies.curves.curve import ClassCurve

DEFAULT_MAX_CHAINS = 16

StopReason = Literal[
    "settled",
    "not worth it",
    "plan done",
    "budget",
    "deadline",
    "no answer",
    "no try accepted",
    "certified",
    "not certified",
    "failed",
    "dry run",
]


class Message(NamedTuple):
    """`extra` is JSON of what else the model's chat template reads of a turn: `tool_calls`, `name`,
    `tool_call_id`, an earlier `reasoning`; empty: nothing.
    """

    role: str
    content: str
    extra: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard limits of one query; they hold whatever its policy decides."""

    #: Tokens of all chains together. None: unlimited.
    max_total_tokens: int | None = None
    #: Seconds from admission. None: unlimited.
    deadline_seconds: float | None = None
    #: The cheapest plan that reaches this accuracy is taken. None: the price decides.
    target_accuracy: float | None = None
    #: Multiplies accuracy when it is traded against tokens.
    value: float = 1.0
    #: Thinking tokens of one chain. None: the room of the context.
    max_thinking_tokens: int | None = None
    #: All tokens that one chain may generate, thinking and answer (OpenAI's `max_tokens`). None:
    #: the budget of the chain.
    max_chain_tokens: int | None = None

    def __post_init__(self) -> None:
        check_int("max_total_tokens", self.max_total_tokens, at_least=1, optional=True)
        check_int("max_thinking_tokens", self.max_thinking_tokens, optional=True)
        check_int("max_chain_tokens", self.max_chain_tokens, at_least=1, optional=True)
        if self.deadline_seconds is not None and not 0 < self.deadline_seconds < math.inf:
            raise ValueError(f"deadline_seconds must be positive, got {self.deadline_seconds!r}")
        if self.target_accuracy is not None and not 0 < self.target_accuracy <= 1:
            raise ValueError(f"target_accuracy must be in (0, 1], got {self.target_accuracy!r}")
        if not 0 < self.value < math.inf:
            raise ValueError(f"value must be positive and finite, got {self.value!r}")


@dataclass(frozen=True, slots=True)
class Query:
    """One question."""

    id: str
    messages: tuple[Message, ...]
    query_class: str = "default"
    limits: Limits = field(default_factory=Limits)
    #: The right answer, used for learning and scoring only. None: unknown.
    reference: str | None = None
    #: How the caller wants chains sampled. Handed on to the engine unchanged.
    sampling: SamplingParams = SamplingParams()
    #: How many chains the caller wants returned. The policy need not draw as many.
    choices: int = 1
    #: Queries of one session go to the same arm of an A/B split. Empty: it has none.
    session: str = ""
    #: How hard its caller says it is, in [0, 1]. None: nobody says.
    difficulty: float | None = None


@dataclass(frozen=True, slots=True)
class Draw:
    """Draw `samples` new chains. A temperature of None is the model's recommended one.

    `final` promises that this one chain's answer will be the query's: it may be streamed live.
    `suffix` is appended to the question as it is.
    """

    samples: int
    budget: Budget
    temperature: float | None = None
    plan: Plan | None = None
    final: bool = False
    suffix: str = ""
    probing: Probing | None = None
    signals: Signals | None = None

    def __post_init__(self) -> None:
        check_int("samples", self.samples, at_least=1, at_most=1024)
        if self.final and self.samples != 1:
            raise ValueError(f"final needs samples to be 1, got {self.samples!r}")


@dataclass(frozen=True, slots=True)
class Extend:
    """Go on with a finished chain: `extensions` more "Wait"s. `budget` is for all its thinking."""

    chain: int
    extensions: int
    budget: Budget
    temperature: float | None = None
    plan: Plan | None = None
    suffix: str = ""
    probing: Probing | None = None
    signals: Signals | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """New chains that go on from the thinking of paused ones, as a tree search does.

    `widths` says how many from each, the most promising first: where tokens are short, the last
    ones are left out. `budget` is for all the thinking of a chain, its ancestors' included. With
    `conclude` they think no more and answer at once. `suffix` is that of the first draw.
    """

    widths: tuple[tuple[int, int], ...]
    budget: Budget
    temperature: float | None = None
    plan: Plan | None = None
    conclude: bool = False
    suffix: str = ""
    probing: Probing | None = None
    signals: Signals | None = None

    def __post_init__(self) -> None:
        if not self.widths:
            raise ValueError("widths names no chain to branch from")
        for chain, width in self.widths:
            check_int(f"width of chain {chain}", width, at_least=1, at_most=1024)


@dataclass(frozen=True, slots=True)
class Conclude:
    """End the thinking of a running chain now, and let it answer."""

    chain: int


@dataclass(frozen=True, slots=True)
class Stop:
    """`weights` are those of the chains in the last vote, by number; None: all count the same."""

    reason: StopReason
    weights: tuple[tuple[int, float], ...] | None = None


Decision = Draw | Extend | Branch | Conclude | Stop


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a policy may see.

    `price` is the accuracy that one token must buy; `plan` is what this policy decided earlier for
    the same query (None at the first decision); `pending` chains are still being sampled: until
    they are in, only a Conclude or a Stop is obeyed, and a Stop cancels them; anything else means
    "go on". `max_thinking_tokens` is the cap of a chain by the context and the request's limits.
    `probes` are the trial answers of the chains that are still thinking, chain by chain in
    the order of their tokens. `load` is the engines' utilisation. `exploration_runs` are the
    exploration runs of the class that are under way, by the name of their plan,
    `exploration_runs_elsewhere` those of other classes; where nothing may be learned of this query
    (`learns`), nothing is tried for the sake of later ones. `greedy` is whether a chain
    that stands alone is decoded greedily: the thinking format means it so, or the caller asks for
    temperature 0. Many models repeat themselves for ever when they are.
    """

    query: Query
    tally: Tally
    max_thinking_tokens: int
    curve: "ClassCurve | None" = None
    price: float = 0.0
    plan: Plan | None = None
    pending: int = 0
    tokens_spent: int = 0
    seconds_spent: float = 0.0
    load: float = 0.0
    probes: tuple[Probe, ...] = ()
    exploration_runs: Mapping[str, int] = field(default_factory=dict)
    exploration_runs_elsewhere: int = 0
    learns: bool = True
    greedy: bool = True

    @property
    def tokens_left(self) -> int | None:
        """By the query's own limit; None: unlimited."""
        most = self.query.limits.max_total_tokens
        if most is None:
            return None
        return max(0, most - max(self.tokens_spent, self.tally.tokens))

    @property
    def referenced_share(self) -> float:
        """Of the class's queries that bring their right answer, as far as is known."""
        return self.curve.referenced_share if self.curve else 0.0

    def chain_temperature(self, asked: float | None) -> float | None:
        """Of a single chain: as asked, else 0 where one is meant to be greedy, else the model's."""
        return 0.0 if asked is None and self.greedy else asked

    def budget(self, max_thinking_tokens: int | None, **fields: Any) -> Budget:
        """A budget that fits the context, see `Budget.capped`; a cap of None is all its room."""
        caps = [self.max_thinking_tokens, max_thinking_tokens]
        cap = min(each for each in caps if each is not None)
        return Budget.within(None, **fields).capped(cap)


class Policy:
    """Base class of all policies: subclass it, set `name`, and write `decide`.

    `decide(situation, rng)` is a pure function: it must not keep state, read a clock or do I/O; all
    randomness comes from `rng`. It is called at the start of a query, after every finished chain,
    and after every trial answer of a running chain. It returns one of these:

    Draw(samples, budget)
        Starts so many new chains. Obeyed only while no chain runs. The scheduler may draw fewer
        chains, allow fewer trial answers or less thinking, to stay within the query's limits and
        within `max_chains`.
    Extend(chain, extensions, budget)
        Continues a finished chain with further extensions. Obeyed only while no chain runs. The
        scheduler may allow less thinking. A chain that has used up `budget` ends the query.
    Branch(widths, budget)
        Starts chains from the thinking of paused ones (`Budget.step_tokens`). Obeyed only while no
        chain runs. The scheduler may start fewer.
    Conclude(chain)
        Ends the thinking of a running chain, which then answers. Obeyed while that chain thinks.
        `decide` is called again at once.
    Stop(reason)
        Ends the query. Chains that still run are cancelled. The answer with the most votes is the
        reply; `weights` may change what each chain's vote counts.

    While chains run, a Draw, an Extend or a Branch means "go on". The query ends without asking
    again when nothing more is affordable ("budget"), at its deadline ("deadline"), and after three
    rounds in which engines died ("failed").

    `options` and `max_chains` are what the scheduler reserves tokens by. The limits of a request
    hold for every policy, whatever it declares: `situation.max_thinking_tokens` is the cap in
    force.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def options(self) -> PolicyOptions:
        """What bounds its chains; the scheduler reserves tokens by it."""
        return PolicyOptions()

    @property
    def max_chains(self) -> int:
        """The most chains it may draw for one query; the scheduler draws no more."""
        return DEFAULT_MAX_CHAINS

    def decide(self, situation: Situation, rng: Random) -> Decision:
        raise NotImplementedError

    def with_options(self, /, **changes: Any) -> "Policy":
        """The same with other options. Raises ValueError if it has none of that name.

        A dataclass has its fields as options, its `name` left out. A policy that is none has no
        options, unless it writes this method itself.
        """
        known = option_names(self)
        if unknown := [option for option in changes if option not in known]:
            raise ValueError(f"{self.name} has no option {unknown[0]!r}")
        return replace(self, **changes) if is_dataclass(self) else self


def option_names(policy: Policy | type[Policy]) -> list[str]:
    """The fields that a request may set. A policy that is no dataclass has none."""
    if not is_dataclass(policy):
        return []
    return [each.name for each in fields(policy) if each.init and each.name != "name"]
