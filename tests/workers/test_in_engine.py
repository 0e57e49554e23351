"""A chain forced inside an engine is the one that re-prompting makes, whatever the engine does."""

import random
import zlib
from dataclasses import fields
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.chain_spec import ChainSpec
from workers.forcing import Chain, Forcing, StopCause
from workers.format import ThinkingFormat, bind
from workers.in_engine import (
    Force,
    ForcedStreamDecoder,
    InEngine,
    Trailer,
    most_tokens,
    order,
    tail_tokens,
)

LETTERS = ".[]A:\nWabc"
SIZE = len(LETTERS)


class Tiny:
    """Ten tokens of one letter each, so that a trailer has digits; `.` ends a turn."""

    eos_token_id: int | None = 0

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return [LETTERS.index(letter) for letter in text if letter in LETTERS]

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = False) -> str:
        return "".join(LETTERS[token] for token in token_ids)


STRINGS = ThinkingFormat(
    "tiny", start="[", end="]A", end_on_cut="]A:", stops=("]",), extension_text="Wa"
)
FORMAT = bind(STRINGS, Tiny())
ids = Tiny().encode


def likeliest(context: list[int], masked: frozenset[int] = frozenset()) -> int:
    """A greedy model: scores are hashes of the context, so that it says a stop now and then."""
    seen = zlib.crc32(bytes(context))
    allowed = {*range(SIZE)} - masked
    best: int = max((zlib.crc32(bytes([token]), seen), token) for token in allowed)[1]
    return best


class Run(NamedTuple):
    """How an engine may treat a request: how often tokens are thrown away or looked at twice."""

    thrown: float = 0.0
    twice: float = 0.0
    seed: int = 0


def reprompted(chain: Chain, prompt: list[int]) -> Chain:
    while (call := chain.next_call()) is not None:
        tokens: list[int] = []
        while len(tokens) < call.max_tokens and not (tokens and tokens[-1] in call.stops):
            masked = call.stops if len(tokens) < call.min_tokens else frozenset[int]()
            tokens.append(likeliest([*chain.prompt(prompt), *tokens], masked))
        chain.feed(tokens, "stop" if tokens[-1] in call.stops else "length")
    return chain


def inside(chain: Chain, prompt: list[int], run: Run) -> list[int]:
    """The tokens of one request whose chain is forced inside an engine."""
    rng = random.Random(run.seed)
    asked = order(chain, SIZE)
    spec = ChainSpec.from_json(asked["extra_args"]["thinkbudget"])
    forced, stream = InEngine(spec.chain(FORMAT), SIZE), list[int]()
    while not (stream and stream[-1] in asked["stop_token_ids"]):
        assert len(stream) < asked["max_tokens"]
        while True:
            wanted = forced.wanted()
            context = [*chain.prompt(prompt), *stream]
            if isinstance(wanted, Force):
                token = wanted.token
            elif rng.random() < run.thrown:
                context.append(rng.randrange(SIZE))  # another position: another token is drawn
                token = likeliest(context, wanted.masked)
                if token in wanted.intercepted:
                    forced.stop_drawn(token)
                continue
            else:
                token = likeliest(context, wanted.masked)
                if token in wanted.intercepted:
                    token = forced.stop_drawn(token)
            if rng.random() >= run.twice:
                break
        stream.append(token)
        forced.commit(token)
    return stream


def read(chain: Chain, stream: list[int], cuts: list[int]) -> ForcedStreamDecoder:
    reply = ForcedStreamDecoder(chain, SIZE)
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    shown = reply.chain.opening()
    for begin, end in zip(edges, edges[1:], strict=False):
        shown += reply.feed(stream[begin:end], "stop" if end == len(stream) else None)
    thinking = [token for part in shown if part.phase == "thinking" for token in part.tokens]
    answer = [token for part in shown if part.phase == "answer" for token in part.tokens]
    resumed = len(chain.thinking) - len(thinking)
    assert thinking == chain.thinking[resumed:]
    assert answer == [*chain.forced_answer, *chain.answer]
    return reply


def state(chain: Chain) -> dict[str, Any]:
    return {item.name: getattr(chain, item.name) for item in fields(chain) if item.compare}


@st.composite
def forcings(draw: st.DrawFn) -> Forcing:
    cap = draw(st.integers(0, 120))
    least = draw(st.integers(0, cap) | st.just(0))
    most = 0 if least == cap else draw(st.integers(0, 60))
    return Forcing(
        cap,
        least,
        most,
        extension_text=draw(st.sampled_from([None, "W", "bca", "\n"])),
        answer_tokens=draw(st.integers(1, 12)),
        answer_when_cut=draw(st.booleans()),
    )


runs = st.builds(Run, st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 9))
prompts = st.lists(st.integers(1, SIZE - 1), max_size=4)
cuts = st.lists(st.integers(0, 1000), max_size=5)


@given(forcings(), st.integers(0, 150), prompts, runs, cuts)
def test_inside_is_as_reprompting(
    forcing: Forcing, room: int, prompt: list[int], run: Run, cuts: list[int]
) -> None:
    expected = reprompted(Chain(FORMAT, forcing, room), prompt)
    chain = Chain(FORMAT, forcing, room)
    if chain.next_call() is not None:
        read(chain, inside(Chain(FORMAT, forcing, room), prompt, run), cuts)
    assert state(chain) == state(expected)
    assert chain.violations() == ()


@given(forcings(), forcings(), prompts, runs, cuts)
def test_a_finished_chain_goes_on_inside_as_by_reprompting(
    first: Forcing, more: Forcing, prompt: list[int], run: Run, cuts: list[int]
) -> None:
    before = reprompted(Chain(FORMAT, first, 200), prompt)
    forcing = Forcing(
        first.max_thinking_tokens + more.max_thinking_tokens + 1,
        more.min_thinking_tokens,
        first.extensions + more.extensions,
        more.extension_text,
        more.answer_tokens,
    )

    def resumed() -> Chain:
        return Chain.resume(
            FORMAT,
            forcing,
            room=200,
            thinking=before.thinking,
            stop_cause=before.stop_cause or "natural",
            extensions=before.extensions_used,
        )

    chain = resumed()
    expected = reprompted(resumed(), prompt)
    read(chain, inside(resumed(), prompt, run), cuts)
    assert state(chain) == state(expected)
    assert chain.violations() == ()


def finished(forcing: Forcing, stream: str, finish: Any = "stop") -> Chain:
    reply = ForcedStreamDecoder(Chain(FORMAT, forcing, 1000), SIZE)
    reply.feed(ids(stream), finish)
    return reply.chain


@pytest.mark.parametrize(
    ("forcing", "stream", "cause", "used", "forced", "discarded", "complete"),
    [
        (Forcing(9), "abc]Ab.", "natural", 0, 2, 2, True),
        (Forcing(9, answer_tokens=1), "abc]Ab.", "natural", 0, 2, 1, False),
        (Forcing(9, extensions=1), "aWab]Ab.", "extensions", 1, 4, 3, True),
        (Forcing(3), "abc\n]A:b.", "max_thinking", 0, 4, 1, True),
        (Forcing(3), "ab\n]A:b.", "max_thinking", 0, 3, 1, True),
        # Here the model itself wrote the "Wa": nothing was forced, and so the trailer says 0.
        (Forcing(3, extensions=2), "Wab\n]A:b[.", "max_thinking", 0, 4, 1, True),
        (Forcing(3, extensions=2), "Wab\n]A:bA.", "max_thinking", 1, 6, 2, True),
        (Forcing(3, extensions=2), "abW\n]A:b].", "max_thinking", 0, 5, 2, True),
        (Forcing(3, extensions=1, answer_when_cut=False), "WabA.", "rejected", 1, 2, 1, False),
    ],
)
def test_a_stream_says_all_of_its_chain(
    forcing: Forcing,
    stream: str,
    cause: StopCause,
    used: int,
    forced: int,
    discarded: int,
    complete: bool,
) -> None:
    chain = finished(forcing, stream)
    assert (chain.stop_cause, chain.phase) == (cause, "done")
    assert (chain.extensions_used, chain.forced_tokens) == (used, forced)
    assert (chain.discarded_tokens, chain.reached_end_of_turn) == (discarded, complete)


@pytest.mark.parametrize(
    ("forcing", "stream", "used"),
    [
        (Forcing(30), "aWab", 0),
        (Forcing(30, extensions=2), "aWabcWaW", 2),
        (Forcing(30, extensions=9), "aWabcWaW", 2),
        # Right after a "Wait" no stop can be drawn, so not both of these were forced.
        (Forcing(30, extensions=9), "aWaWab", 1),
        (Forcing(4, extensions=9), "aWab\n]A:b", 1),
        (Forcing(4, extensions=9), "aWab\n]A", 1),
        (Forcing(30, extensions=2), "abWabWac]Ab", 2),
    ],
)
def test_an_aborted_chain_has_had_at_most_the_extensions_that_its_tokens_show(
    forcing: Forcing, stream: str, used: int
) -> None:
    chain = finished(forcing, stream, "abort")
    assert chain.extensions_used == used
    assert chain.phase != "done"
    chain.abandon("cancelled")
    assert chain.violations() == ()


def test_extensions_of_before_are_not_counted_again() -> None:
    chain = Chain.resume(
        FORMAT,
        Forcing(30, extensions=9),
        room=99,
        thinking=ids("aWab"),
        stop_cause="max_thinking",
        extensions=1,
    )
    ForcedStreamDecoder(chain, SIZE).feed(ids("cWab"), "abort")
    assert chain.extensions_used == 2


def test_an_answer_is_held_back_only_where_a_trailer_may_follow() -> None:
    natural = ForcedStreamDecoder(Chain(FORMAT, Forcing(9, extensions=0), 99), SIZE)
    natural.feed(ids("ab]A"), None)
    assert [part.tokens for part in natural.feed(ids("b"), None)] == [tuple(ids("b"))]
    cut = ForcedStreamDecoder(Chain(FORMAT, Forcing(2, extensions=1), 99), SIZE)
    cut.feed(ids("ab\n]A:"), None)
    assert cut.feed(ids("b"), None) == []
    assert [part.tokens for part in cut.feed(ids("c"), None)] == [tuple(ids("b"))]


def test_the_held_back_end_of_an_aborted_answer_belongs_to_it() -> None:
    chain = finished(Forcing(2, extensions=1), "ab\n]A:bc", "abort")
    assert chain.answer == ids("bc")


@pytest.mark.parametrize(
    ("stream", "finish", "why"),
    [
        ("ab]:", None, "the engine sent token 4 where 3 was forced"),
        ("abc", "length", "the engine ended a chain (length) that was not at its end"),
        ("abc]Ab", "stop", "the engine ended a chain (stop) that was not at its end"),
        ("abcabc\n]A:.", "stop", "the engine sent 0 of 1 tokens of the trailer"),
        ("abcabc\n]A:bbbb", None, "the engine sent token 8 after the end of the answer"),
    ],
)
def test_a_stream_that_cannot_be_is_an_error(stream: str, finish: Any, why: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        finished(Forcing(6, extensions=6, extension_text="bc", answer_tokens=1), stream, finish)
    assert str(caught.value) == why


def test_what_was_forced_before_the_request_is_not_in_its_trailer() -> None:
    chain = Chain.resume(
        FORMAT,
        Forcing(5, extensions=1, answer_tokens=1),
        room=99,
        thinking=ids("bc"),
        stop_cause="natural",
        extensions=0,
    )
    assert chain.thinking == ids("bcWa")
    forced = InEngine(chain, SIZE)
    for token in ids("b\n]A:c"):
        forced.commit(token)
    assert forced.wanted() == Force(ids("[")[0])


def test_a_token_that_was_not_wanted_is_an_error() -> None:
    forced = InEngine(Chain(FORMAT, Forcing(9, extensions=1), 99), SIZE)
    forced.wanted()
    assert forced.stop_drawn(2) == ids("W")[0]
    with pytest.raises(RuntimeError, match="kept token 8 where 6 was forced"):
        forced.commit(8)


def test_tokens_after_the_end_are_let_pass() -> None:
    forced = InEngine(Chain(FORMAT, Forcing(1, answer_tokens=1), 99), SIZE)
    for token in ids("b\n]A:c.bb"):
        forced.commit(token)
    assert forced.wanted() == Force(0)


@given(st.integers(0, 2000), st.sets(st.integers(0, 19), min_size=1, max_size=15), st.data())
def test_a_trailer_says_its_number_without_ending_the_turn(
    most: int, ends: set[int], data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, most))
    base, size = 20 - len(ends), 0
    while base**size <= most:
        size += 1
    trailer = Trailer(size, base, tuple(sorted(ends)))
    written = trailer.write(number)
    assert len(written) == size
    assert not ends & {*written} and all(0 <= token < 20 for token in written)
    assert trailer.read(written) == number


@pytest.mark.parametrize(
    ("forcing", "vocabulary", "tail"),
    [
        (Forcing(1000), 270, 1),
        (Forcing(1000, extensions=8), 270, 2),
        (Forcing(1000, extensions=134), 270, 2),
        (Forcing(1000, extensions=135), 270, 3),
        (Forcing(268, extensions=200), 270, 2),
        (Forcing(269, extensions=200), 270, 3),
        (Forcing(7, extensions=135), 10, 2),
        (Forcing(32_000, extensions=20_000), 152_064, 2),
    ],
)
def test_a_trailer_is_as_long_as_the_allowance_needs(
    forcing: Forcing, vocabulary: int, tail: int
) -> None:
    assert tail_tokens(forcing, FORMAT, vocabulary) == tail


def test_the_longest_stream_is_foreseen() -> None:
    forcing = Forcing(6, extensions=3, answer_tokens=2)
    chain = Chain(FORMAT, forcing, 99)
    assert most_tokens(chain, SIZE) == len(ids("abcabc\n]A:bb[."))
    assert finished(forcing, "abcabc\n]A:bb[.").phase == "done"
    at_once = Chain(FORMAT, Forcing(0, answer_tokens=2), 99)
    assert most_tokens(at_once, SIZE) == len(ids("bb."))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"stop_texts": ("]A",)}, "format 'mine': stop_texts (']A',) are text"),
        ({"end": "A]", "end_on_cut": "A]:"}, "format 'mine': end 'A]' must begin with one of"),
        ({"end_on_cut": "]A."}, "format 'mine': end_on_cut ']A.' has an end-of-turn token"),
        ({"extension_text": "W]"}, "format 'mine': extension_text 'W]' has a stop"),
        ({"extension_text": "W."}, "format 'mine': extension_text 'W.' has a stop"),
        ({"extension_text": "Wabc"}, "format 'mine': token 9 is outside the model's vocabulary"),
    ],
)
def test_a_format_that_cannot_be_forced_inside_is_refused(
    changes: dict[str, Any], why: str
) -> None:
    plain = {"name": "mine", "start": "[", "stops": ("]",), "end": "]A", "end_on_cut": "]A:"}
    strings = ThinkingFormat(**{"extension_text": "W", **plain, **changes})
    chain = Chain(bind(strings, Tiny()), Forcing(9), 99)
    for build in (InEngine, ForcedStreamDecoder, most_tokens):
        with pytest.raises(ValueError) as caught:
            build(chain, 9)
        assert str(caught.value).startswith(why)


@pytest.mark.parametrize("compat", ["harness_compat", "readme_compat"])
def test_the_papers_own_loops_are_refused(compat: str) -> None:
    forcing = Forcing(9, **{compat: True})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the compat semantics cannot be forced inside an engine"):
        Trailer.of(forcing, FORMAT, (6,), SIZE)


@given(forcings(), st.integers(0, 150))
def test_a_spec_survives_its_json(forcing: Forcing, room: int) -> None:
    spec = ChainSpec.of(Chain(FORMAT, forcing, room))
    assert ChainSpec.from_json(spec.to_json()) == spec
    assert state(spec.chain(FORMAT)) == state(Chain(FORMAT, forcing, room))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"room": 99', '"room": NaN', "room cannot be nan"),
        ('"room": 99', '"room": 99.0', "room cannot be 99.0"),
        ('"room": 99', '"room": true', "room cannot be True"),
        ('"room": 99', '"rooms": 99', "the chain's spec has the keys"),
        ('"extensions": 2', '"extensions": "2"', "extensions cannot be '2'"),
        ('"end_of_turn": [0]', '"end_of_turn": [null]', "end_of_turn cannot be None"),
        ('"max_thinking_tokens": 9', '"max_thinking_tokens": -9', "max_thinking_tokens must"),
        ('"name": "tiny"', '"name": 5', "name cannot be 5"),
    ],
)
def test_what_is_no_spec_is_refused(old: str, new: str, why: str) -> None:
    text = ChainSpec.of(Chain(FORMAT, Forcing(9, extensions=2), 99)).to_json()
    assert old in text
    with pytest.raises(ValueError) as caught:
        ChainSpec.from_json(text.replace(old, new))
    assert str(caught.value).startswith(why)


def test_a_chain_that_answers_already_has_no_spec() -> None:
    chain = Chain(FORMAT, Forcing(9), 99)
    chain.conclude()
    with pytest.raises(ValueError, match="begun to answer"):
        ChainSpec.of(chain)
