"""Budget forcing written down once more, as three plain loops, to hold the chains against.

`generate(prompt_ids, max_tokens, min_tokens, stop_ids)` returns `(ids, finish)`: the ids include
the stop, if one came, and finish is "stop" or "length". Prompts end with the format's start.
`clean` is our default; `harness` is s1's evaluation code (lm_eval/models/vllm_causallms.py), and
`readme` the loop of its README, both at simplescaling/s1, line for line but for two things: an
empty text has no newline, and `room` is what the context leaves for thinking.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Generate = Callable[[list[int], int, int, list[int]], tuple[list[int], str]]


@dataclass(frozen=True)
class Config:
    """`stops` end the thinking, `end_of_turn` among them; `ignore=None` is no budget forcing by
    ignored ends at all, which in the evaluation code is not the same as ignoring 0 of them.
    """

    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    stops: list[int]
    end_of_turn: list[int]
    cap: int
    minimum: int = 0
    ignore: int | None = None
    ignore_text: str = "Wait"
    answer_tokens: int = 16
    room: int = 10**9
    start: str = "<|im_start|>think"
    end: str = "<|im_start|>answer"
    end_on_cut: str = "\nFinal Answer:"

    def delimiter(self, *, cut: bool) -> list[int]:
        return self.encode(self.end) + (self.encode(self.end_on_cut) if cut else [])


class ReferenceReply(NamedTuple):
    """`cut`: thinking was ended by a limit. `answer` has no end of turn."""

    thinking: list[int]
    closing: list[int]
    answer: list[int]
    extensions: int
    cut: bool


def answered(generate: Generate, prompt: list[int], config: Config) -> list[int]:
    ids, finish = generate(prompt, config.answer_tokens, 0, config.end_of_turn)
    return ids[:-1] if finish == "stop" else ids


def clean(generate: Generate, prompt: list[int], config: Config) -> ReferenceReply:
    """One total budget, forced text included; the delimiter always, "Final Answer:" on a cut."""
    limit, wait = min(config.cap, config.room), config.encode(config.ignore_text)
    thinking: list[int] = []
    used, cut = 0, True
    while (left := limit - len(thinking)) > 0:
        least = max(config.minimum - len(thinking), 1 if used else 0)
        ids, finish = generate([*prompt, *thinking], left, max(0, min(least, left)), config.stops)
        if finish == "length":
            thinking += ids
            break
        thinking += ids[:-1]
        if used == (config.ignore or 0):
            cut = False
            break
        forced = wait[: limit - len(thinking)]
        thinking += forced
        used += forced == wait
    closing = config.delimiter(cut=cut)
    if cut and not config.decode(thinking).endswith("\n"):
        closing = [*config.encode("\n"), *closing]
    answer = answered(generate, [*prompt, *thinking, *closing], config)
    return ReferenceReply(thinking, closing, answer, used, cut)


def harness(generate: Generate, prompt: list[int], config: Config) -> ReferenceReply:
    """The evaluation code's state machine: a cap on each call, a cut when all are done."""

    def strip(ids: list[int]) -> list[int]:
        for stop in config.stops:
            if ids[-1:] == [stop]:
                ids = ids[:-1]
        return ids

    acc_ids: list[int] = []
    ids: list[int]
    acc_text, reason, used = "", "length", 0
    rounds = 0 if config.cap == 0 else 1 if config.ignore is None else config.ignore + 1
    least = config.minimum if config.ignore is None else 1
    for round_ in range(rounds):
        most = min(config.cap, config.room - len(acc_ids))
        ids, reason = [], "length"  # what an engine says whose context is full
        if most > 0:
            ids, reason = generate([*prompt, *acc_ids], most, min(least, most), config.stops)
        text = config.decode(ids[:-1] if reason == "stop" else ids)
        if reason == "length" or round_ == rounds - 1:
            acc_ids, acc_text = acc_ids + ids, acc_text + text
            break
        forced = config.encode(config.ignore_text)
        ids = strip(ids)
        forced = forced[: config.room - len(acc_ids) - len(ids)]
        acc_ids, acc_text = acc_ids + ids + forced, acc_text + text + config.decode(forced)
        used += config.decode(forced) == config.ignore_text
    if len(acc_ids) > config.cap:
        acc_ids = acc_ids[: config.cap]
    thinking = strip(acc_ids)
    cut = reason == "length"
    closing = config.delimiter(cut=cut)
    if cut and not (acc_text.endswith("\n") or config.start.startswith("\n")):
        closing = [*config.encode("\n"), *closing]
    answer = answered(generate, [*prompt, *thinking, *closing], config)
    return ReferenceReply(thinking, closing, answer, used, cut)


def readme(generate: Generate, prompt: list[int], config: Config) -> ReferenceReply:
    """The README's loop: the budget shrinks by what is generated, the prompt is one text."""
    start = config.encode(config.start)
    before = prompt[: -len(start)] if start and prompt[-len(start) :] == start else prompt
    text = config.start if before is not prompt else ""
    kept: list[int] = []
    remaining, used = config.cap, 0
    output, finish = generate(before + config.encode(text), remaining, 0, config.stops)
    for _ in range(config.ignore or 0):
        remaining -= len(output)
        if remaining > 0:
            said = output[:-1] if finish == "stop" else output
            text += config.decode(said) + config.ignore_text
            kept += said + config.encode(config.ignore_text)
            output, finish = generate(before + config.encode(text), remaining, 1, config.stops)
            used += 1
    said = output[:-1] if finish == "stop" else output
    text += config.decode(said)
    answer = answered(generate, before + config.encode(text), config)
    return ReferenceReply(kept + said, [], answer, used, finish == "length")


def toy_model(vocabulary: Sequence[int], stops: Sequence[int], one_in: int = 20) -> Generate:
    """Says next what a hash of the whole context says: a stop about every `one_in` tokens."""

    def generate(
        prompt: list[int], max_tokens: int, min_tokens: int, stop_ids: list[int]
    ) -> tuple[list[int], str]:
        assert 0 <= min_tokens <= max_tokens, (min_tokens, max_tokens)
        assert max_tokens >= 1, "an engine refuses such a call"
        context = zlib.crc32(b"".join(token.to_bytes(4, "little") for token in prompt))
        ids: list[int] = []
        while len(ids) < max_tokens:
            mixed = (context * 0x9E3779B97F4A7C15) >> 24 & 0xFFFFFFFF
            token = vocabulary[mixed // one_in % len(vocabulary)]
            if mixed % one_in == 0 and len(ids) >= min_tokens:
                token = stops[mixed // one_in % len(stops)]
            elif token in stop_ids:  # masked, or not the hash's turn for a stop
                token = vocabulary[0]
            ids.append(token)
            context = zlib.crc32(token.to_bytes(4, "little"), context)
            if token in stop_ids:
                return ids, "stop"
        return ids, "length"

    return generate
