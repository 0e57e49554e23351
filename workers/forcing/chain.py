"""Budget forcing as a pure state machine over tokens (s1, section 3.1; clean semantics).

A driver asks `next_call()` for what to generate after `prompt(...)`, feeds the tokens it gets to
`feed`, and repeats until there is nothing left to generate:

    THINK --stop, extensions left--> THINK (the stop dropped, "Wait" appended)
    THINK --stop--> ANSWER (the stop dropped, the end delimiter appended)
    THINK --budget used up--> ANSWER (newline if missing, the end delimiter with "Final Answer:")
    ANSWER --end of turn, or its reserve used up--> DONE

The budget is one total over all rounds, forced text included; a forced text that would cross it is
cut there. Promised: thinking never exceeds the cap and never falls below the minimum, forced
extensions are counted exactly, no token is lost or doubled, and `max_tokens` bounds all of them.
The quirks of the paper's own code are in workers/forcing/harness.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from policies.plan import Budget
from workers.forcing.answer_stop import StoppedAnswer, before_stop
from workers.forcing.stop_text import StopTexts
from workers.forcing.token_cap import thinking_within
from workers.format import TokenFormat

Phase = Literal["thinking", "answer", "done"]
Finish = Literal["stop", "length", "abort"]
StopCause = Literal[
    "natural",
    "extensions",
    "max_thinking",
    "early_exit",
    "context",
    "paused",
    "rejected",
    "unsure",
    "deadline",
    "cancelled",
    "lost",
]
# Chains that ended without an answer of their own.
UNANSWERED = frozenset[StopCause]({"paused", "rejected", "unsure", "deadline", "cancelled", "lost"})


class GenerateCall(NamedTuple):
    """One generation: at most `max_tokens`, no stop among the first `min_tokens`."""

    max_tokens: int
    min_tokens: int
    stops: frozenset[int]
    stop_texts: tuple[str, ...] = ()


class Segment(NamedTuple):
    """Tokens to show, in order: thinking, forced text included, or answer."""

    phase: Phase
    tokens: tuple[int, ...]


@dataclass(slots=True)
class Chain:
    """One chain being forced. `room` is what the context leaves for thinking; the last forced
    extension ends at `extension_end`; so much of the thinking was `shown`. `answer_stops` are texts
    that end the answer.
    """

    format: TokenFormat
    budget: Budget
    room: int
    extension: tuple[int, ...] = ()
    thinking: list[int] = field(default_factory=list)
    closing: list[int] = field(default_factory=list)
    answer: list[int] = field(default_factory=list)
    extensions_used: int = 0
    forced_tokens: int = 0
    discarded_tokens: int = 0
    stop_cause: StopCause | None = None
    phase: Phase = "thinking"
    reached_end_of_turn: bool = False
    extension_end: int = field(default=0, compare=False)
    shown: int = field(default=0, compare=False)
    answer_stops: tuple[str, ...] = ()
    stopped: StoppedAnswer | None = None

    def __post_init__(self) -> None:
        self.room = max(0, self.room)
        # An empty extension text is one of the paper's ablations; only the compat chains take it.
        text = self.budget.extension_text
        self.extension = () if text == "" else self.format.extension_for(text)
        self._close_if_full()

    @classmethod
    def resume(
        cls,
        format_: TokenFormat,
        budget: Budget,
        *,
        room: int,
        thinking: Sequence[int],
        stop_cause: StopCause,
        extensions: int,
        answer_stops: tuple[str, ...] = (),
    ) -> "Chain":
        """Go on with a finished chain: a natural end gets "Wait", a cut one just thinks on.

        `extensions` is how many the chain has had; `budget.extensions` counts them in. Nothing
        that was thought is taken back: a cap below it, or fewer extensions, is a ValueError.
        """
        if len(thinking) > budget.max_thinking_tokens:
            raise ValueError(
                f"max_thinking_tokens is {budget.max_thinking_tokens}, but the chain to be "
                f"extended has {len(thinking)} thinking tokens already"
            )
        if extensions > budget.extensions:
            why = f"but the chain to be extended has had {extensions} already"
            raise ValueError(f"extensions is {budget.extensions}, {why}")
        chain = cls(format_, budget, room, answer_stops=answer_stops)
        chain.phase, chain.stop_cause, chain.forced_tokens, chain.closing = "thinking", None, 0, []
        chain.reached_end_of_turn, chain.stopped = False, None
        chain.thinking, chain.extensions_used, chain.shown = [*thinking], extensions, len(thinking)
        if tuple(thinking[-len(chain.extension) :]) == chain.extension and extensions:
            chain.extension_end = len(thinking)
        if stop_cause in ("natural", "extensions"):
            chain._end_thinking()
        chain._close_if_full()
        return chain

    @property
    def cap(self) -> int:
        """Thinking tokens that the budget and the context allow."""
        return min(self._budget_cap, self.room)

    @property
    def _budget_cap(self) -> int:
        most, limit = self.budget.max_thinking_tokens, self.token_cap
        return most if limit is None else min(most, limit)

    @property
    def token_cap(self) -> int | None:
        """Thinking tokens that `max_tokens` allows."""
        return thinking_within(self.budget, self.format.most_closing, self.discarded_tokens)

    @property
    def answer_limit(self) -> int:
        """Tokens that the answer may have: its reserve, or all that `max_tokens` leaves."""
        reserve = self.budget.answer_tokens
        if (left := self._left()) is None:
            return reserve
        return max(0, min(left, max(0, self.room - len(self.thinking)) + reserve))

    def _left(self) -> int | None:
        """What `max_tokens` leaves after the thinking, the closing and what was dropped."""
        if self.budget.max_tokens is None:
            return None
        spent = len(self.thinking) + len(self.closing) + self.discarded_tokens
        return self.budget.max_tokens - spent

    @property
    def tokens(self) -> list[int]:
        """All that follows the prompt so far."""
        return [*self.thinking, *self.closing, *self.answer]

    def prompt(self, prompt: Sequence[int]) -> list[int]:
        """What the next call has to be prompted with, given the prompt of the first."""
        return [*prompt, *self.tokens]

    def opening(self) -> list[Segment]:
        """What there is to show before anything was generated: text forced on a resumed chain."""
        return self._segments([Segment("answer", self.forced_answer)] if self.was_cut else [])

    @property
    def was_cut(self) -> bool:
        return self.stop_cause in ("max_thinking", "context", "early_exit")

    @property
    def forced_answer(self) -> tuple[int, ...]:
        """The tokens that a cut put at the head of the answer."""
        return self.format.forced_answer if self.was_cut and self.closing else ()

    def next_call(self) -> GenerateCall | None:
        format_ = self.format
        if self.phase == "thinking":
            left = self.cap - len(self.thinking)
            least = self.budget.min_thinking_tokens - len(self.thinking)
            # Right after a "Wait" the model must not end at once (as s1's README does it).
            least = max(least, int(0 < self.extension_end == len(self.thinking)))
            stops = format_.stops | format_.end_of_turn
            return GenerateCall(left, max(0, min(left, least)), stops, format_.stop_texts)
        if self.phase == "answer":
            left = self.answer_limit - len(self.answer)
            return GenerateCall(left, 0, format_.end_of_turn, self.answer_stops)
        return None

    def feed(self, tokens: Sequence[int], finish: Finish | None) -> list[Segment]:
        """Take generated tokens; with `finish` the call that `next_call` asked for has ended."""
        kept = tokens
        if tokens and finish == "stop" and self._is_stop(tokens[-1]):
            kept = tokens[:-1]
            self.discarded_tokens += 1
        if self.phase == "answer":
            self.answer += kept
            if finish in ("stop", "length"):
                self._end_answer(finish, at_end_of_turn=len(kept) < len(tokens))
            return [Segment("answer", tuple(kept))] if kept else []
        self.thinking += kept
        closing: list[Segment] = []
        if finish == "stop":
            if len(kept) == len(tokens):
                self._drop_stop_text()
            closing = self._end_thinking()
        if finish in ("stop", "length"):
            closing += self._close_if_full()
        return self._segments(closing)

    def conclude(self) -> list[Segment]:
        """End the thinking here, early, and let the chain answer; no-op once it has ended."""
        closing = self._close("early_exit") if self.phase == "thinking" else []
        return self._segments(closing)

    def abandon(self, cause: StopCause) -> None:
        """End the chain where it stands: no answer will come."""
        self.stop_cause, self.phase = cause, "done"

    def violations(self) -> tuple[str, ...]:
        """Every part of the contract that a finished chain broke; empty unless we have a bug."""
        broken = []
        if len(self.thinking) > self.budget.max_thinking_tokens:
            broken.append("max_thinking_tokens")
        excused = {"context", "early_exit"} | UNANSWERED
        least = min(self.budget.min_thinking_tokens, self._budget_cap)
        if len(self.thinking) < least and self.stop_cause not in excused:
            broken.append("min_thinking_tokens")
        short = self.extensions_used < self.budget.extensions
        ended = self.stop_cause in ("natural", "extensions")
        if self.extensions_used > self.budget.extensions or (short and ended):
            broken.append("extensions")
        if len(self.answer) > self.answer_limit:
            broken.append("answer_tokens")
        if self.phase != "done" or self.stop_cause is None:
            broken.append("unfinished")
        return tuple(broken)

    def _is_stop(self, token: int) -> bool:
        if token in self.format.end_of_turn:
            return True
        return self.phase == "thinking" and token in self.format.stops

    def _drop_stop_text(self) -> None:
        """Take the stop text, and what came after it, off the end of the thinking."""
        kept = StopTexts(self.format).before_stop(self.thinking)
        self.discarded_tokens += len(self.thinking) - len(kept)
        self.thinking = kept

    def _end_answer(self, finish: Finish, *, at_end_of_turn: bool) -> None:
        """A call of the answer has ended. A stop text in the white space at the head of the answer,
        which is not shown, does not count: then the answer goes on.
        """
        kept = before_stop(self.format, self.forced_answer, self.answer, self.answer_stops)
        ended = kept is not None or at_end_of_turn or (finish == "stop" and not self.answer_stops)
        if ended or finish == "length" or len(self.answer) >= self.answer_limit:
            self.reached_end_of_turn, self.phase = ended, "done"
        if kept is not None:
            self.discarded_tokens += len(self.answer) - len(kept.tokens)
            self.answer, self.stopped = kept.tokens, kept

    def _end_thinking(self) -> list[Segment]:
        """A natural end: ignored while extensions are left, else the end of thinking.

        An end below the minimum is ignored too, uncounted. Only stop texts can come so early; the
        engine does not let the model say single stops before.
        """
        early = len(self.thinking) < self.budget.min_thinking_tokens
        if early or self.extensions_used < self.budget.extensions:
            text = self.extension[: max(0, self.cap - len(self.thinking))]
            self.thinking += text
            self.forced_tokens += len(text)
            if text == self.extension:
                self.extensions_used += not early
                self.extension_end = len(self.thinking) if self.extensions_used else 0
            return []
        return self._close("extensions" if self.extensions_used else "natural")

    def _close_if_full(self) -> list[Segment]:
        if self.phase == "thinking" and len(self.thinking) >= self.cap:
            fits = self._budget_cap <= self.room
            return self._close("max_thinking" if fits else "context")
        return []

    def _close(self, cause: StopCause) -> list[Segment]:
        if cause == "max_thinking" and not self.budget.answer_when_cut:
            self.abandon("rejected")
            return []
        self.stop_cause, self.phase = cause, "answer"
        if self.was_cut:
            fresh = self._on_a_fresh_line()
            self.closing = self.format.closing_on_cut(on_a_fresh_line=fresh)
        else:
            self.closing = list(self.format.end)
        if (left := self._left()) is not None and left < 1:
            self.closing, self.phase = [], "done"
            return []
        self.forced_tokens += len(self.closing)
        if found := before_stop(self.format, self.forced_answer, [], self.answer_stops):
            self.reached_end_of_turn, self.stopped, self.phase = True, found, "done"
        return [Segment("answer", self.forced_answer)] if self.forced_answer else []

    def _on_a_fresh_line(self) -> bool:
        return self.format.ends_a_line(self.thinking)

    def _segments(self, after: list[Segment]) -> list[Segment]:
        """The thinking that was not shown yet, as far as no stop text can begin in it."""
        end = len(self.thinking)
        if self.phase == "thinking":
            end -= StopTexts(self.format).unsure(self.thinking)
        new = tuple(self.thinking[self.shown : end])
        self.shown = max(end, self.shown)
        return [Segment("thinking", new), *after] if new else after
