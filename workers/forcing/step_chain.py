"""A chain that thinks one step and pauses, so that a tree search can judge it and branch."""

from collections.abc import Sequence
from dataclasses import dataclass

from workers.forcing.chain import Chain, Finish, GenerateCall, Segment
from workers.forcing.stop_text import StopTexts


@dataclass(slots=True)
class StepChain(Chain):
    """Ends "paused", without an answer, after the first `Budget.step_text` that follows new
    thinking, or after `step_tokens` of it. A natural end and the cap within the step count first.

    The step begins at `begun` thinking tokens; what is before belongs to its ancestors. Its stop
    is looked for as a text, so that it is driven by re-prompting only.
    """

    begun: int = 0

    def next_call(self) -> GenerateCall | None:
        call = Chain.next_call(self)
        if call is None or self.phase != "thinking":
            return call
        left = max(1, self._step_end - len(self.thinking))
        text = self.budget.step_text
        return call._replace(
            max_tokens=min(call.max_tokens, left),
            min_tokens=min(call.min_tokens, left),
            stop_texts=call.stop_texts if text is None else (*call.stop_texts, text),
        )

    def feed(self, tokens: Sequence[int], finish: Finish | None) -> list[Segment]:
        if self.phase != "thinking":
            return Chain.feed(self, tokens, finish)
        if finish != "stop" or not self._is_at_a_step(tokens):
            segments = Chain.feed(self, tokens, finish)
            if finish == "length":
                self._pause()
            return segments
        self.thinking += tokens
        closing = self._close_if_full()
        if self.format.decode(self.thinking[self.begun :]).strip():
            self._pause()
        return self._segments(closing)

    def violations(self) -> tuple[str, ...]:
        broken = Chain.violations(self)
        return broken if len(self.thinking) <= self._step_end else (*broken, "step_tokens")

    @property
    def _step_end(self) -> int:
        assert self.budget.step_tokens is not None, "the chain has no steps"
        return self.begun + self.budget.step_tokens

    def _is_at_a_step(self, tokens: Sequence[int]) -> bool:
        """Whether the text of a step has stopped it, and no stop of the format."""
        if not tokens or self._is_stop(tokens[-1]):
            return False
        thinking = [*self.thinking, *tokens]
        return StopTexts(self.format).before_stop(thinking) == thinking

    def _pause(self) -> None:
        if self.phase == "thinking":
            self.abandon("paused")
