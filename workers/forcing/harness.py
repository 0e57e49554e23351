"""The paper's own two budget-forcing loops as chains, quirks included, to compare numbers with.

Both are driven like any `Chain`, by re-prompting only: they take back or re-tokenise what the
engine has seen. Where the paper's code crashes or never ends, they end the chain in good order.
Neither knows what the context leaves for thinking; that is `room` here as for any chain: thinking,
forced text included, never takes the delimiter's and the answer's places.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from policies.plan import Budget
from workers.forcing.chain import Chain, Finish, GenerateCall, Segment, StopCause
from workers.forcing.step_chain import StepChain
from workers.format import TokenFormat

# What `max_tokens_thinking=auto` leaves for the answer.
AUTO_ANSWER_TOKENS = 100


def chain_for(
    format_: TokenFormat, budget: Budget, room: int, answer_stops: tuple[str, ...] = ()
) -> Chain:
    """The chain with the semantics that `budget` asks for."""
    return chain_class(budget)(format_, budget, room, answer_stops=answer_stops)


def chain_class(budget: Budget) -> type[Chain]:
    if budget.harness_compat:
        return HarnessChain
    if budget.step_tokens is not None:
        return StepChain
    return ReadmeChain if budget.readme_compat else Chain


def auto_cap(answer_tokens: int, longest_prompt: int, format_: TokenFormat) -> int:
    """The evaluation code's `max_tokens_thinking=auto`, for a batch; 0 where it would be negative.

    `longest_prompt` is the batch's longest in tokens, without the format's start.
    """
    forced = len(format_.start) + len(format_.end_on_cut)
    return max(0, answer_tokens - longest_prompt - forced - AUTO_ANSWER_TOKENS)


class HarnessChain(Chain):
    """The paper's evaluation code (simplescaling/s1, lm_eval/models/vllm_causallms.py).

    The cap bounds each call, and the thinking is cut to it only after the last one; whether that
    one ended by itself decides the delimiter, and the newline before it is judged by the text
    before the cut (an empty text ends in none). An end by length forfeits the extensions left.
    With extensions, ends are masked for one token in every call, and the minimum is ignored;
    `thinking_n_ignore=0` is a minimum of 1 without extensions. Nothing is shown before the cut.
    """

    __slots__ = ()

    def __post_init__(self) -> None:
        budget, texts = self.budget, self.format.stop_texts
        for field in ("extensions", "min_thinking_tokens"):
            if texts and (value := getattr(budget, field)):
                raise ValueError(
                    f"{field} is {value}, but with harness_compat only single tokens can be held "
                    f"back, and the format has stop_texts {texts!r}"
                )
        super().__post_init__()

    @property
    def cap(self) -> int:
        most = self.room if self.budget.max_thinking_tokens else 0
        return most if self.token_cap is None else min(most, self.token_cap)

    def next_call(self) -> GenerateCall | None:
        call = super().next_call()
        if call is None or self.phase == "answer":
            return call
        most = min(self.budget.max_thinking_tokens, self.cap - len(self.thinking))
        least = 1 if self.budget.extensions else self.budget.min_thinking_tokens
        return call._replace(max_tokens=most, min_tokens=min(most, least))

    def feed(self, tokens: Sequence[int], finish: Finish | None) -> list[Segment]:
        thinking = self.phase == "thinking"
        segments = super().feed(tokens, finish)
        if thinking and finish == "length" and self.phase == "thinking":
            segments += self._segments(self._close("max_thinking"))
        return segments

    def abandon(self, cause: StopCause) -> None:
        super().abandon(cause)
        self._cut()

    def violations(self) -> tuple[str, ...]:
        ignored = {"min_thinking_tokens"} if self.budget.extensions else set()
        return tuple(broken for broken in super().violations() if broken not in ignored)

    def _drop_stop_text(self) -> None:
        """By ids, as the evaluation code does: a stop that is spelled otherwise stays."""
        for text in self.format.stop_texts:
            ids = list(self.format.encode(text))
            if self.thinking[-len(ids) :] == ids:
                del self.thinking[-len(ids) :]
                self.discarded_tokens += len(ids)

    def _end_thinking(self) -> list[Segment]:
        if self.extensions_used == self.budget.extensions:
            return self._close("extensions" if self.extensions_used else "natural")
        before = len(self.thinking)
        text = self.extension[: max(0, self.cap - before)]
        self.thinking += text
        # What the cut will take back counts as discarded then, not as forced.
        kept = min(len(self.thinking), self.budget.max_thinking_tokens) - before
        self.forced_tokens += max(0, kept)
        self.extensions_used += text == self.extension
        self.extension_end = len(self.thinking)
        return []

    def _close(self, cause: StopCause) -> list[Segment]:
        segments = super()._close(cause)
        self._cut()
        return segments

    def _cut(self) -> None:
        cap = self.budget.max_thinking_tokens
        self.discarded_tokens += max(0, len(self.thinking) - cap)
        del self.thinking[cap:]

    def _on_a_fresh_line(self) -> bool:
        return self.format.strings.start.startswith("\n") or super()._on_a_fresh_line()

    def _segments(self, after: list[Segment]) -> list[Segment]:
        return [] if self.phase == "thinking" else super()._segments(after)


@dataclass
class ReadmeChain(Chain):
    """The loop of the paper's README ("vLLM with budget forcing", simplescaling/s1).

    The cap bounds what is generated, dropped stops included, over all calls; "Wait" is free, and
    appended only while something remains. No delimiter is appended, the answer call thinks on
    until the model ends its turn; a call after a "Wait" says one token before it may end. Every
    call is prompted with the text so far, tokenised anew with the format's start before it.
    """

    remaining: int = 0
    _text_before: str = ""

    def __post_init__(self) -> None:
        if least := self.budget.min_thinking_tokens:
            raise ValueError(f"min_thinking_tokens is {least}, but readme_compat has no minimum")
        # Of a restored chain: what it generated in its thinking, dropped stops included.
        generated = len(self.thinking) - self.forced_tokens + self.discarded_tokens
        self.remaining = self.budget.max_thinking_tokens - generated
        self._text_before = self.format.decode(self.thinking[: self.extension_end])
        super().__post_init__()

    @property
    def text(self) -> str:
        """All the thinking, each call's tokens decoded by themselves."""
        return self._text_before + self.format.decode(self.thinking[self.extension_end :])

    @property
    def forced_answer(self) -> tuple[int, ...]:
        return ()

    def prompt(self, prompt: Sequence[int]) -> list[int]:
        if not self.thinking:
            return [*prompt, *self.answer]
        head, text, start = list(prompt), self.text, self.format.start
        if start and tuple(head[-len(start) :]) == start:
            head, text = head[: -len(start)], self.format.strings.start + text
        anew = [*head, *self.format.encode(text)]
        # Tokenised anew the text may be longer, and must not take the answer's place.
        return [*anew[: len(prompt) + self.room], *self.answer]

    def next_call(self) -> GenerateCall | None:
        call = super().next_call()
        if call is None or self.phase == "answer":
            return call
        most = min(self.remaining, self._room_left())
        return call._replace(max_tokens=most, min_tokens=1 if self.extensions_used else 0)

    def feed(self, tokens: Sequence[int], finish: Finish | None) -> list[Segment]:
        thinking = self.phase == "thinking"
        if thinking:
            self.remaining -= len(tokens)
        segments = super().feed(tokens, finish)
        if thinking and finish == "length" and self.phase == "thinking":
            segments += self._segments(self._close("context"))
        return segments

    def violations(self) -> tuple[str, ...]:
        own = {"max_thinking_tokens": self.remaining < 0, "extensions": self._miscounted()}
        rest = [broken for broken in super().violations() if broken not in own]
        return (*(broken for broken, is_so in own.items() if is_so), *rest)

    def _miscounted(self) -> bool:
        missing = self.budget.extensions - self.extensions_used
        ended = self.stop_cause in ("natural", "extensions")
        return missing < 0 or (missing > 0 and ended and self.remaining > 0)

    def _room_left(self) -> int:
        left = self.room - len(self.format.encode(self.text))
        limit = self.token_cap
        return left if limit is None else min(left, limit - len(self.thinking))

    def _end_thinking(self) -> list[Segment]:
        if self.extensions_used < self.budget.extensions and self.remaining > 0:
            limit = self.token_cap
            if limit is not None and limit - len(self.thinking) <= len(self.extension):
                return self._close("max_thinking")
        if self.extensions_used == self.budget.extensions or self.remaining <= 0:
            return self._close("extensions" if self.extensions_used else "natural")
        asked = self.budget.extension_text
        self._text_before = self.text + (
            self.format.strings.extension_text if asked is None else asked
        )
        self.thinking += self.extension
        self.extension_end = len(self.thinking)
        self.forced_tokens += len(self.extension)
        self.extensions_used += 1
        return []

    def _close_if_full(self) -> list[Segment]:
        if self.phase != "thinking" or (self.remaining > 0 and self._room_left() > 0):
            return []
        return self._close("context" if self.remaining > 0 else "max_thinking")

    def _close(self, cause: StopCause) -> list[Segment]:
        left = self._left()
        spent = left is not None and left < 1
        self.stop_cause, self.phase = cause, "done" if spent else "answer"
        return []
