"""Chains are forced exactly: every token is one that was generated or one that was appended."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain as concat
from itertools import count, cycle, repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.forcing import Call, Chain, Finish, Forcing, Segment, StopCause
from workers.format import TokenFormat

START, END_OF_TURN, NEWLINE, ANSWER, FINAL, WAIT, WORD, LINE = 1, 2, 3, 4, 5, 6, 10, 19
END = (START, ANSWER)
ON_CUT = (START, ANSWER, NEWLINE, FINAL)
ON_A_FRESH_LINE = (NEWLINE, *ON_CUT)

FORMAT = TokenFormat(
    start=(START, 7),
    stops=frozenset({START}),
    end=END,
    end_on_cut=ON_CUT,
    newline=(NEWLINE,),
    extension=(WAIT,),
    end_of_turn=frozenset({END_OF_TURN}),
    newline_ending=lambda token: token in (NEWLINE, LINE),
)


@dataclass
class Model:
    """Says what its scripts say, and words without end after them; hides stops while it must."""

    thinking: Iterator[int]
    answer: Iterator[int]
    chunks: Iterator[int] = field(default_factory=lambda: repeat(1000))
    calls: list[Call] = field(default_factory=list)
    said: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)

    def run(self, chain: Chain) -> list[Segment]:
        segments = []
        while call := chain.next_call():
            assert 0 <= call.min_tokens <= call.max_tokens
            assert call.max_tokens >= 1
            self.calls.append(call)
            script = self.thinking if chain.phase == "thinking" else self.answer
            tokens, finish = generate(call, script)
            self.said += tokens
            self.kept += tokens[:-1] if finish == "stop" else tokens
            for piece, ended in self._pieces(tokens, finish):
                segments += chain.feed(piece, ended)
        return segments

    def _pieces(
        self, tokens: list[int], finish: Finish
    ) -> Iterator[tuple[list[int], Finish | None]]:
        while len(tokens) > (size := next(self.chunks)):
            yield tokens[:size], None
            tokens = tokens[size:]
        yield tokens, finish


def generate(call: Call, script: Iterator[int]) -> tuple[list[int], Finish]:
    tokens: list[int] = []
    for token in script:
        if token in call.stops and len(tokens) < call.min_tokens:
            continue
        tokens.append(token)
        if token in call.stops:
            return tokens, "stop"
        if len(tokens) == call.max_tokens:
            return tokens, "length"
    raise AssertionError("the script has ended")


def model(thinking: Iterable[int], answer: Iterable[int] = (20, END_OF_TURN)) -> Model:
    return Model(concat(thinking, count(1000)), concat(answer, count(5000)))


def begin(*, room: int = 100, format_: TokenFormat = FORMAT, **forcing: Any) -> Chain:
    return Chain.begin(format_, Forcing(**forcing), room=room)


@pytest.mark.parametrize(
    ("forcing", "script", "thinking", "closing", "cause", "extensions"),
    [
        pytest.param(*case[1:], id=case[0])
        for case in [
            ("1-stop", (5, 0, 0), (10, 11, START), (10, 11), END, "natural", 0),
            ("2-stop-at-cap", (3, 0, 0), (10, 11, START), (10, 11), END, "natural", 0),
            (
                "2-a-wait-takes-the-stops-place",
                (3, 0, 1),
                (10, 11, START),
                (10, 11, WAIT),
                ON_A_FRESH_LINE,
                "max_thinking",
                1,
            ),
            ("3-cut", (2, 0, 0), (10, 11), (10, 11), ON_A_FRESH_LINE, "max_thinking", 0),
            ("3-cut-on-newline", (2, 0, 0), (10, LINE), (10, LINE), ON_CUT, "max_thinking", 0),
            ("4-end-of-turn", (5, 0, 0), (10, END_OF_TURN), (10,), END, "natural", 0),
            (
                "4-end-of-turn-ignored",
                (9, 0, 1),
                (10, END_OF_TURN, 11, END_OF_TURN),
                (10, WAIT, 11),
                END,
                "extensions",
                1,
            ),
            ("5-stop-then-anything", (5, 0, 0), (10, START, 11), (10,), END, "natural", 0),
            ("6-stop-first", (5, 0, 0), (START,), (), END, "natural", 0),
            ("6-stop-first-masked", (5, 1, 0), (START, 10, START), (10,), END, "natural", 0),
            (
                "7-two-waits",
                (9, 0, 2),
                (10, START, 11, START, 12, START),
                (10, WAIT, 11, WAIT, 12),
                END,
                "extensions",
                2,
            ),
            ("7-no-wait", (9, 0, 0), (10, START, 11, START), (10,), END, "natural", 0),
            (
                "8-cut-in-second-round",
                (4, 0, 2),
                (10, START, 11, 12),
                (10, WAIT, 11, 12),
                ON_A_FRESH_LINE,
                "max_thinking",
                1,
            ),
            (
                "9-a-word-after-wait",
                (9, 0, 1),
                (10, START, START, 11, START),
                (10, WAIT, 11),
                END,
                "extensions",
                1,
            ),
            (
                "10-one-budget-for-all-rounds",
                (5, 0, 1),
                (10, 11, START, 12, 13, 14, START),
                (10, 11, WAIT, 12, 13),
                ON_A_FRESH_LINE,
                "max_thinking",
                1,
            ),
            ("12-one-token", (1, 0, 0), (10,), (10,), ON_A_FRESH_LINE, "max_thinking", 0),
            ("12-no-budget", (0, 0, 0), (10,), (), ON_A_FRESH_LINE, "max_thinking", 0),
            ("12-no-budget-for-waits", (0, 0, 3), (10,), (), ON_A_FRESH_LINE, "max_thinking", 0),
            (
                "13-minimum",
                (9, 3, 0),
                (10, START, 11, END_OF_TURN, 12, START),
                (10, 11, 12),
                END,
                "natural",
                0,
            ),
            (
                "13-minimum-and-wait",
                (9, 3, 1),
                (10, START, 11, 12, START, START, 13, START),
                (10, 11, 12, WAIT, 13),
                END,
                "extensions",
                1,
            ),
            (
                "19-unused-waits-are-forfeited",
                (2, 0, 6),
                (10, 11, START),
                (10, 11),
                ON_A_FRESH_LINE,
                "max_thinking",
                0,
            ),
        ]
    ],
)
def test_tricky_cases_of_s1s_evaluation_code(
    forcing: tuple[int, int, int],
    script: tuple[int, ...],
    thinking: tuple[int, ...],
    closing: tuple[int, ...],
    cause: StopCause,
    extensions: int,
) -> None:
    most, least, waits = forcing
    chain = begin(max_thinking_tokens=most, min_thinking_tokens=least, extensions=waits)
    model(script).run(chain)
    assert tuple(chain.thinking) == thinking
    assert tuple(chain.closing) == closing
    assert chain.stop_cause == cause
    assert chain.extensions_used == extensions
    assert chain.answer == [20]
    assert chain.violations() == ()


def test_case_11_after_a_wait_the_rest_of_the_budget_is_left() -> None:
    chain = begin(max_thinking_tokens=10, extensions=1)
    assert chain.next_call() == Call(10, 0, frozenset({START, END_OF_TURN}))
    chain.feed([10, 11, 12, START], "stop")
    assert chain.next_call() == Call(10 - 3 - 1, 1, frozenset({START, END_OF_TURN}))


def test_case_16_an_end_that_forces_the_answer_anyway_forces_it_once() -> None:
    chain = begin(format_=replace(FORMAT, end=ON_CUT), max_thinking_tokens=1)
    segments = model([10]).run(chain)
    assert chain.closing.count(FINAL) == 1
    assert segments == [Segment("thinking", (10,)), Segment("answer", (20,))]


@pytest.mark.parametrize(("room", "thinking"), [(2, [1000, 1001]), (0, []), (-3, [])])
def test_case_18_a_full_context_cuts_before_the_cap(room: int, thinking: list[int]) -> None:
    chain = begin(room=room, max_thinking_tokens=5, min_thinking_tokens=4)
    model([]).run(chain)
    assert chain.thinking == thinking
    assert chain.closing == [*ON_A_FRESH_LINE]
    assert chain.stop_cause == "context"
    assert chain.violations() == ()


def test_a_cap_that_the_context_just_holds_is_what_cuts() -> None:
    chain = begin(room=3, max_thinking_tokens=3)
    model([]).run(chain)
    assert chain.stop_cause == "max_thinking"


def test_case_19_a_finished_chain_asks_for_nothing() -> None:
    chain = begin(max_thinking_tokens=1, answer_tokens=1)
    model([10], [20]).run(chain)
    assert chain.phase == "done"
    assert chain.next_call() is None


def test_case_20_a_continuation_is_prompted_with_the_very_ids_that_were_generated() -> None:
    chain = begin(max_thinking_tokens=9, extensions=1)
    chain.feed([10, 11, START], "stop")
    assert chain.tokens == [10, 11, WAIT]
    chain.feed([12, START], "stop")
    assert chain.tokens == [10, 11, WAIT, 12, *END]
    chain.feed([20, END_OF_TURN], "stop")
    assert chain.tokens == [10, 11, WAIT, 12, *END, 20]


def test_a_budget_smaller_than_the_wait_cuts_the_wait_and_does_not_count_it() -> None:
    chain = begin(format_=replace(FORMAT, extension=(6, 7, 8)), max_thinking_tokens=3, extensions=1)
    segments = model([10, START]).run(chain)
    assert chain.thinking == [10, 6, 7]
    assert chain.extensions_used == 0
    assert chain.stop_cause == "max_thinking"
    assert chain.forced_tokens == 2 + len(ON_A_FRESH_LINE)
    assert segments[:2] == [Segment("thinking", (10,)), Segment("thinking", (6, 7))]


def test_a_caller_may_choose_the_extension() -> None:
    chain = Chain.begin(FORMAT, Forcing(20, extensions=2), room=99, extension=(8, 9))
    model([10, START, 11, START, 12, START]).run(chain)
    assert chain.thinking == [10, 8, 9, 11, 8, 9, 12]
    assert chain.extensions_used == 2


def test_a_minimum_above_the_cap_is_told() -> None:
    chain = begin(max_thinking_tokens=2, min_thinking_tokens=3)
    model([]).run(chain)
    assert chain.violations() == ("min_thinking_tokens",)


def test_the_end_delimiter_is_not_shown_and_the_forced_answer_is() -> None:
    natural, cut = begin(max_thinking_tokens=5), begin(max_thinking_tokens=1)
    assert model([10, START]).run(natural) == [
        Segment("thinking", (10,)),
        Segment("answer", (20,)),
    ]
    assert model([10]).run(cut) == [
        Segment("thinking", (10,)),
        Segment("answer", (NEWLINE, FINAL)),
        Segment("answer", (20,)),
    ]


def test_only_the_end_of_turn_ends_an_answer() -> None:
    chain = begin(max_thinking_tokens=5)
    model([10, START], [20, START, 21, END_OF_TURN]).run(chain)
    assert chain.answer == [20, START, 21]
    assert chain.reached_end_of_turn


def test_an_answer_ends_with_its_reserve() -> None:
    chain = begin(max_thinking_tokens=5, answer_tokens=3)
    model([10, START], [20, 21, 22, 23]).run(chain)
    assert chain.answer == [20, 21, 22]
    assert not chain.reached_end_of_turn
    assert chain.violations() == ()


def test_counts_tell_forced_and_dropped_tokens_apart() -> None:
    chain = begin(max_thinking_tokens=20, extensions=2)
    model([10, START, 11, START, 12, START]).run(chain)
    assert chain.forced_tokens == 2 + len(END)
    assert chain.discarded_tokens == 3 + 1


def test_a_call_that_ends_by_length_may_say_so_after_its_last_token() -> None:
    chain = begin(max_thinking_tokens=2)
    chain.feed([10, 11], None)
    chain.feed([], "length")
    assert chain.phase == "answer"
    assert chain.next_call() == Call(128, 0, frozenset({END_OF_TURN}))


@pytest.mark.parametrize("cause", ["cancelled", "lost", "deadline"])
def test_an_abandoned_chain_is_done_and_excused_from_its_minimum(cause: StopCause) -> None:
    chain = begin(max_thinking_tokens=9, min_thinking_tokens=5)
    chain.feed([10], "abort")
    chain.abandon(cause)
    assert chain.next_call() is None
    assert chain.stop_cause == cause
    assert chain.thinking == [10]
    assert chain.violations() == ()


@pytest.mark.parametrize(
    ("forcing", "fed", "broken"),
    [
        (Forcing(2), [([10, 11, 12], "length")], ("max_thinking_tokens",)),
        (Forcing(9, 3), [([10, START], "stop")], ("min_thinking_tokens",)),
        (
            Forcing(9, answer_tokens=1),
            [([10, START], "stop"), ([20, 21], "length")],
            ("answer_tokens",),
        ),
    ],
)
def test_an_engine_that_does_not_do_as_asked_is_told_on(
    forcing: Forcing, fed: list[tuple[list[int], Finish]], broken: tuple[str, ...]
) -> None:
    chain = Chain.begin(FORMAT, forcing, room=99)
    for tokens, finish in fed:
        chain.feed(tokens, finish)
    assert chain.violations() == broken


def test_more_waits_than_asked_for_are_told() -> None:
    chain = Chain.resume(
        FORMAT,
        Forcing(9, extensions=1),
        room=99,
        thinking=(10,),
        stop_cause="natural",
        extensions=2,
    )
    assert chain.violations() == ("extensions",)


@pytest.mark.parametrize(("cause", "waits"), [("natural", 0), ("extensions", 2)])
def test_an_ended_chain_that_is_resumed_gets_a_wait_first(cause: StopCause, waits: int) -> None:
    chain = Chain.resume(
        FORMAT,
        Forcing(9, extensions=waits + 1),
        room=99,
        thinking=(10,),
        stop_cause=cause,
        extensions=waits,
    )
    assert chain.thinking == [10, WAIT]
    assert chain.extensions_used == waits + 1
    assert chain.forced_tokens == 1
    assert chain.next_call() == Call(7, 1, frozenset({START, END_OF_TURN}))


def test_a_resumed_chain_without_a_wait_left_goes_on_to_its_answer() -> None:
    chain = Chain.resume(
        FORMAT, Forcing(9), room=99, thinking=(10,), stop_cause="natural", extensions=0
    )
    assert chain.tokens == [10, *END]
    assert chain.next_call() == Call(128, 0, frozenset({END_OF_TURN}))


@pytest.mark.parametrize(
    ("first", "more", "script"),
    [
        pytest.param(Forcing(2), Forcing(6), (10, 11, START, 12), id="stop-comes-next"),
        pytest.param(Forcing(2), Forcing(6), (10, 11, 12, START), id="word-comes-next"),
        pytest.param(
            Forcing(3, extensions=1),
            Forcing(6, extensions=1),
            (10, START, 11, 12, START),
            id="after-a-wait-word-comes-next",
        ),
        pytest.param(
            Forcing(3, extensions=1),
            Forcing(6, extensions=1),
            (10, START, 11, START, 12),
            id="after-a-wait-stop-comes-next",
        ),
        pytest.param(
            Forcing(2, extensions=1),
            Forcing(6, extensions=1),
            (10, START, START, 11, START),
            id="cut-right-after-a-wait",
        ),
    ],
)
def test_a_cut_chain_that_is_resumed_thinks_on_as_if_it_had_not_been_cut(
    first: Forcing, more: Forcing, script: tuple[int, ...]
) -> None:
    whole = Chain.begin(FORMAT, more, room=99)
    model(script).run(whole)
    teller = model(script)
    short = Chain.begin(FORMAT, first, room=99)
    teller.run(short)
    resumed = resume(short, FORMAT, more)
    teller.answer = count(7000)
    teller.run(resumed)
    assert resumed.thinking == whole.thinking
    assert resumed.stop_cause == whole.stop_cause


def resume(chain: Chain, format_: TokenFormat, forcing: Forcing, room: int = 99) -> Chain:
    assert chain.stop_cause is not None
    return Chain.resume(
        format_,
        forcing,
        room=room,
        thinking=tuple(chain.thinking),
        stop_cause=chain.stop_cause,
        extensions=chain.extensions_used,
    )


@st.composite
def formats(draw: st.DrawFn) -> TokenFormat:
    sizes = draw(st.tuples(*[st.integers(1, 3)] * 6, st.integers(0, 3)))
    ids = iter(draw(st.permutations(range(1, 30))))
    stops, ends, end, newline, extension, start, tail = (
        tuple(next(ids) for _ in range(size)) for size in sizes
    )
    lines = draw(st.integers(2, 5))
    return TokenFormat(
        start=start,
        stops=frozenset(stops),
        end=end,
        end_on_cut=end + tail,
        newline=newline,
        extension=extension,
        end_of_turn=frozenset(ends),
        newline_ending=lambda token: token % lines == 0,
    )


@st.composite
def allowances(draw: st.DrawFn) -> Forcing:
    most = draw(st.integers(0, 30))
    return Forcing(
        max_thinking_tokens=most,
        min_thinking_tokens=draw(st.integers(0, most)),
        extensions=draw(st.integers(0, 5)),
        answer_tokens=draw(st.integers(1, 8)),
    )


@st.composite
def scripts(draw: st.DrawFn, format_: TokenFormat) -> list[int]:
    """Stops among words that are all different, so that a word lost or doubled shows."""
    stops = sorted(format_.stops | format_.end_of_turn)
    choices = draw(st.lists(st.none() | st.sampled_from(stops), max_size=40))
    return [100 + place if stop is None else stop for place, stop in enumerate(choices)]


def appearances(text: Sequence[int], part: tuple[int, ...]) -> int:
    return sum(tuple(text[at : at + len(part)]) == part for at in range(len(text)))


def of_phase(segments: list[Segment], phase: str) -> list[int]:
    return [token for segment in segments if segment.phase == phase for token in segment.tokens]


@given(st.data(), formats(), allowances(), st.integers(0, 30))
def test_the_contract_holds_whatever_the_model_says(
    data: st.DataObject, format_: TokenFormat, forcing: Forcing, room: int
) -> None:
    teller = model(data.draw(scripts(format_)), data.draw(scripts(format_)))
    sizes = data.draw(st.lists(st.integers(0, 5), max_size=5))
    teller.chunks = cycle([*sizes, 1])
    chain = Chain.begin(format_, forcing, room=room)
    forced_at_once = chain.closing != []
    segments = teller.run(chain)

    assert chain.phase == "done"
    assert chain.violations() == ()
    assert len(chain.thinking) <= min(forcing.max_thinking_tokens, room)
    assert len(chain.thinking) >= forcing.min_thinking_tokens or chain.stop_cause == "context"
    assert chain.extensions_used == appearances(chain.thinking, format_.extension)
    assert chain.extensions_used <= forcing.extensions
    assert len(chain.answer) <= forcing.answer_tokens

    waits = [token for token in chain.thinking if token in format_.extension]
    words = [token for token in chain.thinking if token not in format_.extension]
    assert words + chain.answer == teller.kept
    assert chain.discarded_tokens == len(teller.said) - len(teller.kept)
    assert chain.forced_tokens == len(waits) + len(chain.closing)

    cut = chain.stop_cause in ("max_thinking", "context")
    delimiter = format_.end_on_cut if cut else format_.end
    shown = () if forced_at_once else delimiter[len(format_.end) :]
    assert of_phase(segments, "thinking") == chain.thinking
    assert of_phase(segments, "answer") == [*shown, *chain.answer]
    assert tuple(chain.closing[-len(delimiter) :]) == delimiter


@given(st.data(), formats(), allowances(), st.integers(0, 30))
def test_tokens_fed_one_by_one_or_at_once_make_the_same_chain(
    data: st.DataObject, format_: TokenFormat, forcing: Forcing, room: int
) -> None:
    thinking, answer = data.draw(scripts(format_)), data.draw(scripts(format_))
    at_once, by_one = (Chain.begin(format_, forcing, room=room) for _ in range(2))
    whole, pieces = model(thinking, answer), model(thinking, answer)
    pieces.chunks = repeat(1)
    told, told_by_one = whole.run(at_once), pieces.run(by_one)
    assert by_one == at_once
    assert pieces.calls == whole.calls
    for phase in ("thinking", "answer"):
        assert of_phase(told_by_one, phase) == of_phase(told, phase)


@given(st.data(), formats(), allowances(), st.integers(0, 30))
def test_a_chain_extended_step_by_step_is_one_longer_chain(
    data: st.DataObject, format_: TokenFormat, forcing: Forcing, room: int
) -> None:
    script = data.draw(scripts(format_))
    whole = Chain.begin(format_, forcing, room=room)
    model(script).run(whole)
    teller = model(script)
    chain = Chain.begin(format_, replace(forcing, extensions=0), room=room)
    teller.run(chain)
    costs = len(chain.thinking)
    for extensions in range(1, forcing.extensions + 1):
        if chain.stop_cause not in ("natural", "extensions"):
            break
        before = len(chain.thinking)
        chain = resume(chain, format_, replace(forcing, extensions=extensions), room)
        teller.answer = repeat(WORD)
        teller.run(chain)
        costs += len(chain.thinking) - before
    assert chain.thinking == whole.thinking
    assert chain.closing == whole.closing
    assert chain.stop_cause == whole.stop_cause
    assert chain.extensions_used == whole.extensions_used
    assert costs == len(whole.thinking)
