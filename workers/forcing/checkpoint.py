"""How far a chain has come, so that another engine can go on with it to the token.

A checkpoint holds only what no stop text can take back. What an engine had generated beyond it is
lost with the engine; under greedy decoding the same tokens come again.
"""

from dataclasses import dataclass, replace
from typing import Self

from policies.plan import Budget
from workers.forcing.chain import Chain, Phase, StopCause
from workers.forcing.harness import chain_class
from workers.format import TokenFormat


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where one chain stands, or in a `ChainProgress` what is new of it: then `thinking` and
    `answer` are the tokens since the last one, and all else is as it stands now.

    Counts are those of `Sample`, of this request. `stop_cause` is None while the chain thinks;
    `extension_end` is where its last forced extension ends; `trials` is how many trial answers were
    begun. `conclude` says that the chain is to answer at once.
    """

    thinking: tuple[int, ...] = ()
    closing: tuple[int, ...] = ()
    answer: tuple[int, ...] = ()
    extensions: int = 0
    forced_tokens: int = 0
    discarded_tokens: int = 0
    stop_cause: StopCause | None = None
    extension_end: int = 0
    trials: int = 0
    probe_tokens: int = 0
    seconds: float = 0.0
    conclude: bool = False

    @property
    def begun(self) -> bool:
        """Whether there is anything to go on from."""
        return bool(self.thinking) or self.stop_cause is not None

    def then(self, news: "Checkpoint") -> "Checkpoint":
        """Where the chain stands after this and its news."""
        thinking, answer = self.thinking + news.thinking, self.answer + news.answer
        return replace(news, thinking=thinking, answer=answer, conclude=self.conclude)

    def since(self, before: Self) -> "Checkpoint":
        """What is new, of a chain that stood at `before`."""
        thinking, answer = self.thinking[len(before.thinking) :], self.answer[len(before.answer) :]
        return replace(self, thinking=thinking, answer=answer)

    def generated_tokens(self, begun: int) -> int:
        """Tokens that the model has sampled, of a chain that began with `begun` thinking tokens."""
        forced = self.forced_tokens - len(self.closing)
        kept = len(self.thinking) - begun - forced + len(self.answer)
        return kept + self.discarded_tokens


def snapshot(chain: Chain) -> Checkpoint | None:
    """None for a chain that is done, or that has no point now from which it could go on."""
    thinking = chain.phase == "thinking"
    # A forced text that is not settled yet was counted already.
    if chain.phase == "done" or (thinking and chain.shown < chain.extension_end):
        return None
    return Checkpoint(
        thinking=tuple(chain.thinking[: chain.shown] if thinking else chain.thinking),
        closing=tuple(chain.closing),
        answer=tuple(chain.answer),
        extensions=chain.extensions_used,
        forced_tokens=chain.forced_tokens,
        discarded_tokens=chain.discarded_tokens,
        stop_cause=chain.stop_cause,
        extension_end=chain.extension_end,
    )


def restore(
    format_: TokenFormat,
    budget: Budget,
    room: int,
    at: Checkpoint,
    answer_stops: tuple[str, ...] = (),
) -> Chain:
    """The chain that goes on from a checkpoint; all of it counts as shown."""
    phase: Phase = "thinking" if at.stop_cause is None else "answer"
    chain = chain_class(budget)(
        format_,
        budget,
        room,
        thinking=[*at.thinking],
        closing=[*at.closing],
        answer=[*at.answer],
        extensions_used=at.extensions,
        forced_tokens=at.forced_tokens,
        discarded_tokens=at.discarded_tokens,
        stop_cause=at.stop_cause,
        phase=phase,
        extension_end=at.extension_end,
        shown=len(at.thinking),
        answer_stops=answer_stops,
    )
    if len(chain.answer) >= chain.answer_limit and chain.phase == "answer":
        chain.phase = "done"
    return chain
