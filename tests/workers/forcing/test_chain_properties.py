"""Whatever the format, the budget and the model, no token is lost, doubled, or beyond the budget.

The model is random: it has its own tokens for strings, merges across every boundary, begins stop
texts that it does not end, and gives what it says in pieces of random sizes.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.plan import Budget
from tests.workers.letters import Letters
from workers.forcing.chain import Chain, Finish, GenerateCall, Segment
from workers.forcing.harness import chain_for
from workers.format import ThinkingFormat, TokenFormat, bind

SPECIAL = ("<E>", "<S>", "<T>", "<END>")
SPOKEN = "abc#\n"  # what the model writes, stop texts included
APPENDED = "xy"  # what we append: so that it can be told from what the model wrote
PROMPT = (1500, 1501)


@st.composite
def formats(draw: st.DrawFn, *, with_texts: bool = True) -> TokenFormat:
    texts = st.text(SPOKEN, min_size=1, max_size=4)
    merges = draw(st.lists(st.text(SPOKEN, min_size=2, max_size=3), max_size=6, unique=True))
    single = draw(st.sampled_from([("<S>",), ("<S>", "<T>")]))
    written = tuple(draw(st.lists(texts, min_size=1, max_size=3))) if with_texts else ()
    end = draw(st.sampled_from(["<S>x", "<END>", "yx", "\n"]))
    format_ = ThinkingFormat(
        name="any",
        start=draw(st.sampled_from(["", "<S>", "x\n", "\n"]).filter(lambda start: start != end)),
        end=end,
        end_on_cut=end + draw(st.sampled_from(["", "y", "\nx"])),
        stops=draw(st.sampled_from([(), single])) if written else single,
        stop_texts=written,
        extension_text=draw(st.text(APPENDED, min_size=1, max_size=3)),
    )
    return bind(format_, Letters(*SPECIAL, *merges))


@st.composite
def allowances(draw: st.DrawFn, compat: str = "") -> Budget:
    most = draw(st.integers(0, 30))
    extensions = draw(st.integers(0, 5)) if most else 0
    highest = 0 if compat == "readme" else most - 1 if extensions else most
    return Budget(
        max_thinking_tokens=most,
        min_thinking_tokens=draw(st.integers(0, highest)),
        extensions=extensions,
        answer_tokens=draw(st.integers(1, 8)),
        answer_when_cut=bool(compat) or draw(st.booleans()),
        harness_compat=compat == "harness",
        readme_compat=compat == "readme",
    )


@dataclass
class Model:
    """Says what a hash of the whole context says; one token in `one_in` ends something."""

    format: TokenFormat
    words: list[int]
    seed: int
    one_in: int
    sizes: Iterator[int]
    generated: int = 0

    def say(self, context: list[int], call: GenerateCall) -> tuple[list[int], Finish]:
        assert 0 <= call.min_tokens <= call.max_tokens
        assert call.max_tokens >= 1
        stops, said = sorted(self.format.stops | self.format.end_of_turn), list[int]()
        state = self.seed
        for token in context:
            state = zlib.crc32(token.to_bytes(4, "little"), state)
        while len(said) < call.max_tokens:
            held = len(said) < call.min_tokens and not call.stop_texts
            choices = stops if state % self.one_in == 0 and not held else self.words
            said.append(choices[(state >> 8) % len(choices)])
            state = zlib.crc32(said[-1].to_bytes(4, "little"), state)
            written = self.format.decode(said) if call.stop_texts else ""
            if said[-1] in call.stops or any(stop in written for stop in call.stop_texts):
                return said, "stop"
        return said, "length"

    def pieces(
        self, context: list[int], call: GenerateCall
    ) -> Iterator[tuple[list[int], Finish | None]]:
        said, finish = self.say(context, call)
        while len(said) > (size := next(self.sizes)):
            yield said[:size], None
            said = said[size:]
        yield said, finish


@st.composite
def models(draw: st.DrawFn, format_: TokenFormat) -> Model:
    assert isinstance(format_.tokenizer, Letters)
    merges = [token for text, token in format_.tokenizer.known.items() if text not in SPECIAL]
    words = [*(1000 + ord(letter) for letter in SPOKEN), *merges]
    seed, one_in = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([1, 3, 10, 40, 10**9]))
    sizes = draw(st.lists(st.integers(0, 5), max_size=5))
    return Model(format_, words, seed, one_in, cycle([*sizes, 1]))


def run(chain: Chain, model: Model, end: int = -1, how: str = "", before: int = 0) -> list[Segment]:
    """The driver's loop, which concludes or abandons the chain before its `end`-th piece.

    Of a resumed chain the first tokens were shown `before`.
    """
    segments, number = chain.opening(), 0
    while call := chain.next_call():
        for tokens, finish in model.pieces(chain.prompt(PROMPT), call):
            if number == end and how == "conclude" and chain.phase == "thinking":
                segments += chain.conclude()
                number += 1
                break
            if number == end and how == "abandon":
                chain.abandon("cancelled")
                break
            number += 1
            model.generated += len(tokens)
            segments += chain.feed(tokens, finish)
            thinking = of_phase(segments, "thinking")
            if chain.budget.harness_compat and chain.phase == "thinking":
                assert thinking == []
            assert thinking == chain.thinking[before : before + len(thinking)]
    return segments


def of_phase(segments: list[Segment], phase: str) -> list[int]:
    return [token for segment in segments if segment.phase == phase for token in segment.tokens]


def check(chain: Chain, model: Model, segments: list[Segment], room: int) -> None:
    budget, format_ = chain.budget, chain.format
    assert chain.phase == "done"
    assert chain.violations() == ()
    assert chain.extensions_used <= budget.extensions
    assert len(chain.answer) <= budget.answer_tokens
    assert min(chain.discarded_tokens, chain.forced_tokens) >= 0

    # Every token that was generated is in the thinking or the answer, or was dropped.
    ours = sum(token in format_.encode(APPENDED) for token in chain.thinking)
    assert chain.forced_tokens == ours + len(chain.closing)
    kept = len(chain.thinking) - ours + len(chain.answer)
    # The evaluation code's cut may throw away extension texts as well.
    most = (budget.extensions + 1) * len(chain.extension) if budget.harness_compat else 0
    assert 0 <= kept + chain.discarded_tokens - model.generated <= most

    # What was shown is what there is, in order and once.
    if chain.stop_cause == "cancelled":
        shown = of_phase(segments, "thinking")
        assert shown == chain.thinking[: len(shown)]
        return
    assert of_phase(segments, "thinking") == chain.thinking
    assert of_phase(segments, "answer") == [*chain.forced_answer, *chain.answer]
    phases = [segment.phase for segment in segments]
    assert phases == sorted(phases, reverse=True), "thinking comes before the answer"

    if not budget.harness_compat:  # which leaves a stop text that is spelled unusually
        text = format_.decode(chain.thinking)
        assert not [stop for stop in format_.stop_texts if stop in text]
    assert not {*chain.thinking} & {*format_.stops, *format_.end_of_turn}

    ended = chain.stop_cause in ("natural", "extensions")
    if ended and not budget.readme_compat:
        assert chain.extensions_used == budget.extensions
        assert (chain.stop_cause == "extensions") == (budget.extensions > 0)
    if not budget.compat:
        assert len(chain.thinking) <= min(budget.max_thinking_tokens, room)
        early = chain.stop_cause in ("context", "early_exit")
        assert early or len(chain.thinking) >= budget.min_thinking_tokens
        if chain.stop_cause != "rejected":
            delimiter = format_.end_on_cut if chain.was_cut else format_.end
            assert chain.closing[-len(delimiter) :] == [*delimiter]
            assert len(chain.closing) - len(delimiter) in (0, len(format_.newline))


ENDS = st.tuples(st.integers(0, 60), st.sampled_from(["", "conclude", "abandon"]))


@given(st.data(), formats(), allowances(), st.integers(0, 30), ENDS)
def test_the_contract_holds_whatever_the_model_says(
    data: st.DataObject, format_: TokenFormat, budget: Budget, room: int, end: tuple[int, str]
) -> None:
    model, chain = data.draw(models(format_)), Chain(format_, budget, room)
    check(chain, model, run(chain, model, *end), room)


@given(st.data(), formats(), allowances(), st.integers(0, 30))
def test_tokens_fed_in_pieces_or_at_once_make_the_same_chain(
    data: st.DataObject, format_: TokenFormat, budget: Budget, room: int
) -> None:
    pieces = data.draw(models(format_))
    whole = replace(pieces, sizes=repeat(1000))
    by_piece, at_once = (Chain(format_, budget, room) for _ in range(2))
    told_by_piece, told = run(by_piece, pieces), run(at_once, whole)
    assert by_piece == at_once
    for phase in ("thinking", "answer"):
        assert of_phase(told_by_piece, phase) == of_phase(told, phase)


def resume(chain: Chain, budget: Budget) -> Chain:
    assert chain.stop_cause is not None
    return Chain.resume(
        chain.format,
        budget,
        room=chain.room,
        thinking=tuple(chain.thinking),
        stop_cause=chain.stop_cause,
        extensions=chain.extensions_used,
    )


def same_thinking(chain: Chain, other: Chain) -> bool:
    return (chain.thinking, chain.closing, chain.answer, chain.extensions_used) == (
        other.thinking,
        other.closing,
        other.answer,
        other.extensions_used,
    )


@given(st.data(), formats(), allowances(), st.integers(0, 30))
def test_a_chain_extended_step_by_step_is_the_chain_that_was_asked_for_at_once(
    data: st.DataObject, format_: TokenFormat, budget: Budget, room: int
) -> None:
    model, whole = data.draw(models(format_)), Chain(format_, budget, room)
    run(whole, model)
    chain = Chain(format_, replace(budget, extensions=0), room)
    run(chain, model)
    thought = len(chain.thinking)
    for extensions in range(1, budget.extensions + 1):
        if chain.stop_cause not in ("natural", "extensions"):
            break
        before = len(chain.thinking)
        chain = resume(chain, replace(budget, extensions=extensions))
        segments = run(chain, model, before=before)
        thought += len(chain.thinking) - before
        assert of_phase(segments, "thinking") == chain.thinking[before:]
        assert chain.violations() == ()
    assert same_thinking(chain, whole)
    assert chain.stop_cause == whole.stop_cause
    assert thought == len(whole.thinking)


@given(st.data(), formats(with_texts=False), allowances(), st.integers(0, 30))
def test_a_cut_chain_that_gets_more_budget_is_the_chain_that_had_it_at_once(
    data: st.DataObject, format_: TokenFormat, budget: Budget, room: int
) -> None:
    # A cut inside an extension text leaves a piece of it behind, so it is one token here.
    format_ = replace(format_, extension=format_.encode("x"))
    model, whole = data.draw(models(format_)), Chain(format_, budget, room)
    run(whole, model)
    least = budget.min_thinking_tokens + (1 if budget.extensions else 0)
    cap = data.draw(st.integers(least, budget.max_thinking_tokens))
    short = Chain(format_, replace(budget, max_thinking_tokens=cap), room)
    run(short, model)
    if short.stop_cause in ("max_thinking", "rejected"):
        chain = resume(short, budget)
        run(chain, model, before=len(short.thinking))
        assert same_thinking(chain, whole)
    else:
        assert same_thinking(short, whole)


@pytest.mark.parametrize("compat", ["harness", "readme"])
@given(data=st.data(), room=st.integers(0, 30), end=ENDS)
def test_the_papers_semantics_keep_their_own_contract(
    compat: str, data: st.DataObject, room: int, end: tuple[int, str]
) -> None:
    budget = data.draw(allowances(compat))
    if data.draw(st.booleans()) and compat == "harness" and budget.extensions:
        budget = replace(budget, extension_text="")
    single = compat == "harness" and bool(budget.extensions or budget.min_thinking_tokens)
    format_ = data.draw(formats(with_texts=False) if single else formats())
    model, chain = data.draw(models(format_)), chain_for(format_, budget, room)
    segments = run(chain, model, *end)
    check(chain, model, segments, room)
    if compat == "harness":
        assert len(chain.thinking) <= min(budget.max_thinking_tokens, room)
    else:
        appended = chain.extensions_used * len(chain.extension)
        assert len(chain.thinking) - appended <= budget.max_thinking_tokens
        assert chain.closing == []
