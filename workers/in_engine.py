"""Budget forcing inside an engine: the same `Chain`, token by token, and the way to read it back.

The whole chain is one request. In the engine an `InEngine` says before every token what may come;
a stop that the model draws is never emitted, what the chain appends comes in its place. Outside, a
`ForcedStreamDecoder` makes the same chain again of the tokens that came:

    thinking, closing, answer, trailer, one end-of-turn token

Tokens do not tell a forced "Wait" from the model's own. Only the number of forced tokens in the
thinking is missing, and a chain that ended naturally has had all its extensions; so the trailer,
that number in token ids, comes after chains that were cut and could have been extended.
"""

import copy
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from workers.chain_spec import ChainSpec
from workers.forcing import Chain, Finish, Forcing, Segment
from workers.format import TokenFormat

# Under this key of a request's extra arguments is the spec of its chain, as JSON.
KEY = "thinkbudget"


class Force(NamedTuple):
    """The next token must be this one."""

    token: int


class Free(NamedTuple):
    """The model draws; `masked` must not come, of `intercepted` `InEngine.stop_drawn` must know."""

    intercepted: frozenset[int] = frozenset()
    masked: frozenset[int] = frozenset()


def refusal(format_: TokenFormat, extension: Sequence[int], vocabulary: int) -> str | None:
    """Why chains of this format cannot be forced inside an engine; None if they can."""
    name = f"format {format_.strings.name!r}"
    stops = format_.stops | format_.end_of_turn
    closing = (*format_.newline, *format_.end_on_cut)
    if format_.stop_texts:
        return f"{name}: stop_texts {format_.stop_texts} are text, an engine draws tokens"
    if format_.end[0] not in format_.stops:
        return (
            f"{name}: end {format_.strings.end!r} must begin with one of the stops "
            f"{format_.strings.stops}, so that the end of thinking shows in the tokens"
        )
    if format_.end_of_turn & set(closing):
        return f"{name}: end_on_cut {format_.strings.end_on_cut!r} has an end-of-turn token"
    if stops & set(extension):
        return f"{name}: extension_text {format_.decode(extension)!r} has a stop among its tokens"
    if (largest := max(*closing, *extension, *stops)) >= vocabulary:
        return f"{name}: token {largest} is outside the model's vocabulary of {vocabulary}"
    return None


@dataclass(frozen=True, slots=True)
class Trailer:
    """How many tokens of a thinking were forced, in `size` token ids that end no turn.

    Its digits are numerals to base |vocabulary without end-of-turn tokens|, the highest first. The
    size follows from the allowance alone, so that both sides know it; 0 without extensions.
    """

    size: int
    base: int
    reserved: tuple[int, ...]

    @classmethod
    def of(
        cls, forcing: Forcing, format_: TokenFormat, extension: Sequence[int], vocabulary: int
    ) -> Self:
        """Refuses, as a ValueError, what cannot be forced inside an engine."""
        if forcing.compat:
            raise ValueError("the compat semantics cannot be forced inside an engine")
        if why := refusal(format_, extension, vocabulary):
            raise ValueError(why)
        base = vocabulary - len(format_.end_of_turn)
        if base < 2:
            raise ValueError(f"a vocabulary of {vocabulary} has too few tokens for a trailer")
        most = min(forcing.extensions * len(extension), forcing.max_thinking_tokens)
        size = 0
        while base**size <= most:
            size += 1
        return cls(size if most else 0, base, tuple(sorted(format_.end_of_turn)))

    def due(self, chain: Chain) -> bool:
        return self.size > 0 and chain.stop_cause not in (None, "natural", "extensions")

    def write(self, number: int) -> list[int]:
        ids = []
        for place in reversed(range(self.size)):
            digit = number // self.base**place % self.base
            for reserved in self.reserved:
                digit += digit >= reserved
            ids.append(digit)
        return ids

    def read(self, ids: Sequence[int]) -> int:
        number = 0
        for token in ids:
            number = number * self.base + token - sum(end < token for end in self.reserved)
        return number


def tail_tokens(forcing: Forcing, format_: TokenFormat, vocabulary: int) -> int:
    """Tokens that may follow the answer: the context must have room for them, too."""
    extension = format_.extension_for(forcing.extension_text)
    return Trailer.of(forcing, format_, extension, vocabulary).size + 1


def most_tokens(chain: Chain, vocabulary: int) -> int:
    """The longest stream that this chain, not begun, can become: `max_tokens` of its request."""
    tail = tail_tokens(chain.forcing, chain.format, vocabulary)
    if chain.phase != "thinking":
        return chain.forcing.answer_tokens + tail
    left = chain.cap - len(chain.thinking)
    return left + chain.format.most_closing + chain.forcing.answer_tokens + tail


def order(chain: Chain, vocabulary: int) -> dict[str, Any]:
    """What the chain's request must ask of the engine, in the words of vLLM's SamplingParams."""
    return {
        "max_tokens": most_tokens(chain, vocabulary),
        "stop_token_ids": sorted(chain.format.end_of_turn),
        "extra_args": {KEY: ChainSpec.of(chain).to_json()},
    }


class InEngine:
    """One chain inside the engine. The caller commits every token that the engine has kept.

    A drawn token may be thrown away by the engine, and is then asked for again: nothing that was
    decided counts before it is committed.
    """

    def __init__(self, chain: Chain, vocabulary: int) -> None:
        self._chain = chain
        self._trailer = Trailer.of(chain.forcing, chain.format, chain.extension, vocabulary)
        self._forced_before = chain.forced_tokens - len(chain.closing)
        self._last = min(chain.format.end_of_turn)
        self._due: deque[int] = deque()
        self._stop: int | None = None
        self._begin_call()

    def wanted(self) -> Force | Free:
        self._stop = None
        if self._due:
            return Force(self._due[0])
        if self._call is None:
            return Force(self._last)
        if self._drawn < self._call.min_tokens:
            return Free(masked=self._call.stops)
        # In the answer the engine itself may end at the end of turn, unless a trailer must follow.
        if self._chain.phase == "answer" and not self._trailer.due(self._chain):
            return Free()
        return Free(intercepted=self._call.stops)

    def stop_drawn(self, stop: int) -> int:
        """The model has drawn a stop: what to emit in its place."""
        self._stop = stop
        trial = copy.copy(self)
        trial._chain = _branch(self._chain)
        trial._due = deque()
        trial._take(stop)
        return trial._due[0]

    def commit(self, token: int) -> None:
        """The engine has kept this token. One that was not wanted is a RuntimeError."""
        if self._stop is not None:
            self._take(self._stop)
            self._stop = None
        if self._due:
            if (wanted := self._due.popleft()) != token:
                raise RuntimeError(f"the engine kept token {token} where {wanted} was forced")
        elif self._call is not None:
            self._take(token)

    def _begin_call(self) -> None:
        self._call, self._drawn = self._chain.next_call(), 0
        if self._call is None:
            if self._trailer.due(self._chain):
                forced = self._chain.forced_tokens - len(self._chain.closing)
                self._due += self._trailer.write(forced - self._forced_before)
            self._due.append(self._last)

    def _take(self, token: int) -> None:
        """Feed the chain a token that the model has drawn, as a re-prompting driver would."""
        chain, call = self._chain, self._call
        assert call is not None
        self._drawn += 1
        stopped = token in call.stops
        finish: Finish | None = "stop" if stopped else None
        if not stopped and self._drawn == call.max_tokens:
            finish = "length"
        thinking = chain.phase == "thinking"
        kept = len(chain.thinking) + (not stopped)
        chain.feed([token], finish)
        if finish:
            if thinking:
                self._due += [*chain.thinking[kept:], *chain.closing]
            self._begin_call()


class ForcedStreamDecoder:
    """Outside the engine: the tokens of one request back into its chain, which it completes.

    `feed` has the face of `Chain.feed`. Thinking and answer are told apart as they come; how many
    extensions a cut chain has had is known at its end, and its answer is shown that much later.
    """

    def __init__(self, chain: Chain, vocabulary: int) -> None:
        self.chain = chain
        self._trailer = Trailer.of(chain.forcing, chain.format, chain.extension, vocabulary)
        self._resumed = len(chain.thinking)
        self._closing: deque[int] = deque()
        self._held: deque[int] = deque()
        self._complete = False

    def feed(self, tokens: Sequence[int], finish: Finish | None) -> list[Segment]:
        """After "abort" the chain stands where it was left, not yet abandoned.

        If it was cut or still thought, its extensions are then counted as the most that its tokens
        allow. A stream that does not fit its chain is a RuntimeError.
        """
        segments = [segment for token in tokens for segment in self._take(token)]
        if finish == "abort" and not self._complete:
            while self._held and self.chain.phase == "answer":
                segments += self._answer([self._held.popleft()])
            self._count_forced(self._possible_extensions() * len(self.chain.extension))
        elif finish is not None and not self._complete:
            raise RuntimeError(f"the engine ended a chain ({finish}) that was not at its end")
        return segments

    def _take(self, token: int) -> list[Segment]:
        chain, format_ = self.chain, self.chain.format
        if self._closing:
            if (wanted := self._closing.popleft()) != token:
                raise RuntimeError(f"the engine sent token {token} where {wanted} was forced")
            return []
        if chain.phase != "thinking":
            return self._after_closing(token)
        if token not in format_.stops:
            full = len(chain.thinking) + 1 == chain.cap
            segments = chain.feed([token], "length" if full else None)
            self._closing += chain.closing
            return segments
        # A stop in the stream is the head of the closing: drawn stops are never emitted.
        left = chain.forcing.extensions - chain.extensions_used
        self._count_forced(left * len(chain.extension))
        segments = chain.feed([token], "stop")
        self._closing += chain.closing
        return segments + self._take(token)

    def _after_closing(self, token: int) -> list[Segment]:
        """The answer, then the trailer: as many tokens are held back as may be the trailer."""
        size = self._trailer.size if self._trailer.due(self.chain) else 0
        self._complete = token in self.chain.format.end_of_turn
        if not self._complete:
            self._held.append(token)
            ready = [self._held.popleft()] if len(self._held) > size else []
            return self._answer(ready)
        if len(self._held) != size:
            raise RuntimeError(f"the engine sent {len(self._held)} of {size} tokens of the trailer")
        if self.chain.phase == "answer":
            self.chain.feed([token], "stop")
        self._count_forced(self._trailer.read(self._held))
        return []

    def _answer(self, tokens: Sequence[int]) -> list[Segment]:
        chain, segments = self.chain, []
        for token in tokens:
            if chain.phase != "answer":
                raise RuntimeError(f"the engine sent token {token} after the end of the answer")
            full = len(chain.answer) + 1 == chain.forcing.answer_tokens
            segments += chain.feed([token], "length" if full else None)
        return segments

    def _count_forced(self, tokens: int) -> None:
        """So many tokens of the thinking were forced: whole extensions, the last perhaps cut.

        Each took the place of one stop, which was discarded.
        """
        whole, part = divmod(tokens, len(self.chain.extension))
        self.chain.extensions_used += whole
        self.chain.forced_tokens += tokens
        self.chain.discarded_tokens += whole + (part > 0)

    def _possible_extensions(self) -> int:
        """How often the extension's text stands in the thinking, at least one token apart."""
        chain, extension = self.chain, list(self.chain.extension)
        at, found = self._resumed, 0
        most = chain.forcing.extensions - chain.extensions_used
        while found < most and at + len(extension) <= len(chain.thinking):
            matches = chain.thinking[at : at + len(extension)] == extension
            found += matches
            at += len(extension) + 1 if matches else 1
        return found


def _branch(chain: Chain) -> Chain:
    """A copy to try something on."""
    twin = copy.copy(chain)
    twin.thinking, twin.closing = [*chain.thinking], [*chain.closing]
    twin.answer = [*chain.answer]
    return twin
