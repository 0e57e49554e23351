"""Budget forcing as a pure state machine over tokens (s1, section 3.1; clean semantics).

A driver asks `next_call()` for what to generate, feeds the tokens it gets to `feed`, and repeats
until there is nothing left to generate:

    THINK --stop, extensions left--> THINK (the stop dropped, "Wait" appended)
    THINK --stop--> ANSWER (the stop dropped, the end delimiter appended)
    THINK --budget used up--> ANSWER (newline if missing, the end delimiter with "Final Answer:")
    ANSWER --end of turn, or its reserve used up--> DONE

The budget is one total over all rounds, forced text included; a forced text that would cross it is
cut there. Promised: thinking never exceeds the cap and never falls below the minimum, forced
extensions are counted exactly, no token is lost or doubled. Not promised: the quirks of the
paper's evaluation code (a cap per call, cut afterwards).
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from workers.format import TokenFormat

Phase = Literal["thinking", "answer", "done"]
Finish = Literal["stop", "length", "abort"]
StopCause = Literal[
    "natural", "extensions", "max_thinking", "context", "deadline", "cancelled", "lost"
]


@dataclass(frozen=True, slots=True)
class Forcing:
    """One chain's allowance in tokens; `extension_text=None` is the format's own."""

    max_thinking_tokens: int
    min_thinking_tokens: int = 0
    extensions: int = 0
    extension_text: str | None = None
    answer_tokens: int = 128


class Call(NamedTuple):
    """One generation: at most `max_tokens`, no stop among the first `min_tokens`."""

    max_tokens: int
    min_tokens: int
    stops: frozenset[int]


class Segment(NamedTuple):
    """Tokens to show, in order: thinking, forced text included, or answer."""

    phase: Phase
    tokens: tuple[int, ...]


@dataclass(slots=True)
class Chain:
    """One chain being forced. `room` is what the context leaves for thinking."""

    format: TokenFormat
    forcing: Forcing
    extension: tuple[int, ...]
    room: int
    thinking: list[int] = field(default_factory=list)
    closing: list[int] = field(default_factory=list)
    answer: list[int] = field(default_factory=list)
    extensions_used: int = 0
    forced_tokens: int = 0
    discarded_tokens: int = 0
    stop_cause: StopCause | None = None
    phase: Phase = "thinking"
    reached_end_of_turn: bool = False

    @classmethod
    def begin(
        cls,
        format_: TokenFormat,
        forcing: Forcing,
        *,
        room: int,
        extension: tuple[int, ...] | None = None,
    ) -> "Chain":
        chain = cls(format_, forcing, extension or format_.extension, max(0, room))
        chain._close_if_full()
        return chain

    @classmethod
    def resume(
        cls,
        format_: TokenFormat,
        forcing: Forcing,
        *,
        room: int,
        thinking: tuple[int, ...],
        stop_cause: StopCause,
        extensions: int,
        extension: tuple[int, ...] | None = None,
    ) -> "Chain":
        """Go on with a finished chain: a natural end gets "Wait", a cut one just thinks on.

        `extensions` is how many the chain has had; `forcing.extensions` counts them in.
        """
        chain = cls(format_, forcing, extension or format_.extension, max(0, room))
        chain.thinking = list(thinking)
        chain.extensions_used = extensions
        if stop_cause in ("natural", "extensions"):
            chain._end_thinking()
        chain._close_if_full()
        return chain

    @property
    def cap(self) -> int:
        return min(self.forcing.max_thinking_tokens, self.room)

    @property
    def tokens(self) -> list[int]:
        """All that follows the prompt so far: what a continuation has to be prompted with."""
        return [*self.thinking, *self.closing, *self.answer]

    def next_call(self) -> Call | None:
        stops = self.format.stops | self.format.end_of_turn
        if self.phase == "thinking":
            left = self.cap - len(self.thinking)
            least = self.forcing.min_thinking_tokens - len(self.thinking)
            # Right after a "Wait" the model must not end at once (as s1's README does it).
            waited = tuple(self.thinking[-len(self.extension) :]) == self.extension
            least = max(least, 1 if waited and self.extensions_used else 0)
            return Call(left, max(0, min(left, least)), stops)
        if self.phase == "answer":
            left = self.forcing.answer_tokens - len(self.answer)
            return Call(left, 0, self.format.end_of_turn)
        return None

    def feed(self, tokens: list[int], finish: Finish | None) -> list[Segment]:
        """Take generated tokens; with `finish` the call that `next_call` asked for has ended."""
        ended = bool(tokens) and finish == "stop" and self._is_stop(tokens[-1])
        kept = tokens[:-1] if ended else tokens
        self.discarded_tokens += len(tokens) - len(kept)
        segments = [Segment(self.phase, tuple(kept))] if kept else []
        if self.phase == "answer":
            self.answer += kept
            if finish is not None:
                self.reached_end_of_turn = finish == "stop"
                self.phase = "done"
            return segments
        self.thinking += kept
        if finish == "stop":
            segments += self._end_thinking()
        if finish is not None:
            segments += self._close_if_full()
        return segments

    def abandon(self, cause: StopCause) -> None:
        """End the chain where it stands: no answer will come."""
        self.stop_cause, self.phase = cause, "done"

    def violations(self) -> tuple[str, ...]:
        """Every part of the contract that a finished chain broke; empty unless we have a bug."""
        broken = []
        if len(self.thinking) > self.forcing.max_thinking_tokens:
            broken.append("max_thinking_tokens")
        excused = self.stop_cause in ("context", "deadline", "cancelled", "lost")
        if len(self.thinking) < self.forcing.min_thinking_tokens and not excused:
            broken.append("min_thinking_tokens")
        if self.extensions_used > self.forcing.extensions:
            broken.append("extensions")
        if len(self.answer) > self.forcing.answer_tokens:
            broken.append("answer_tokens")
        return tuple(broken)

    def _is_stop(self, token: int) -> bool:
        if token in self.format.end_of_turn:
            return True
        return self.phase == "thinking" and token in self.format.stops

    def _end_thinking(self) -> list[Segment]:
        """A natural end: ignored while extensions are left, else the end of thinking."""
        if self.extensions_used < self.forcing.extensions:
            text = self.extension[: max(0, self.cap - len(self.thinking))]
            self.thinking += text
            self.forced_tokens += len(text)
            if text == self.extension:
                self.extensions_used += 1
            return [Segment("thinking", text)] if text else []
        return self._close("extensions" if self.extensions_used else "natural")

    def _close_if_full(self) -> list[Segment]:
        if self.phase == "thinking" and len(self.thinking) >= self.cap:
            fits = self.forcing.max_thinking_tokens <= self.room
            return self._close("max_thinking" if fits else "context")
        return []

    def _close(self, cause: StopCause) -> list[Segment]:
        self.stop_cause, self.phase = cause, "answer"
        if cause in ("natural", "extensions"):
            self.closing = list(self.format.end)
            shown: tuple[int, ...] = ()
        else:
            fresh_line = bool(self.thinking) and self.format.newline_ending(self.thinking[-1])
            newline = () if fresh_line else self.format.newline
            self.closing = [*newline, *self.format.end_on_cut]
            shown = self.format.end_on_cut[len(self.format.end) :]
        self.forced_tokens += len(self.closing)
        return [Segment("answer", shown)] if shown else []
