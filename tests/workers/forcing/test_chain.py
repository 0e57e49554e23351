"""Chains are forced exactly: every token is one that was generated or one that was appended.

Scripts are those of scripted.py: S is <|im_start|>, E <|im_end|>. The cases of s1's own code are
in test_s1_cases.py, what holds for any model and budget in test_chain_properties.py.
"""

from collections.abc import Sequence
from math import inf, nan
from typing import Any

import pytest

from policies.plan import Budget
from tests.workers.forcing.scripted import FORMAT, LETTERS, Compat, Model, ids, run, spoken
from tests.workers.letters import Letters
from workers.forcing.chain import UNANSWERED, Chain, Finish, GenerateCall, Segment, StopCause
from workers.forcing.harness import chain_for
from workers.format import S1, S1_STEPS, bind

END = "<|im_start|>answer"
CUT = "\n<|im_start|>answer\nFinal Answer:"
STOPS = frozenset({1, 2})
COMPAT: tuple[Compat, ...] = ({}, {"harness_compat": True}, {"readme_compat": True})


def chain(
    max_thinking_tokens: int,
    min_thinking_tokens: int = 0,
    extensions: int = 0,
    *,
    room: int = 99,
    **fields: Any,
) -> Chain:
    budget = Budget(max_thinking_tokens, min_thinking_tokens, extensions, **fields)
    return Chain(FORMAT, budget, room)


def shown(segments: Sequence[Segment]) -> list[tuple[str, str]]:
    return [(segment.phase, LETTERS.decode([*segment.tokens])) for segment in segments]


@pytest.mark.parametrize("field", ["max_thinking_tokens", "min_thinking_tokens", "extensions"])
@pytest.mark.parametrize("value", [-1, nan, inf, -inf, 1.5, "3"])
def test_a_count_that_is_none_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        Budget(**{"max_thinking_tokens": 9, field: value})
    assert str(caught.value).startswith(f"{field} must be ")
    assert str(caught.value).endswith(f", got {value!r}")


@pytest.mark.parametrize("value", [0, -1, nan, inf])
def test_an_answer_without_a_token_is_refused(value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        Budget(9, answer_tokens=value)
    assert str(caught.value).startswith("answer_tokens must be ")
    assert str(caught.value).endswith(f", got {value!r}")


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        ((5, 6), "min_thinking_tokens (6) is above max_thinking_tokens (5)"),
        (
            (5, 5, 1),
            "extensions is 1, but no natural end is possible: min_thinking_tokens and "
            "max_thinking_tokens are both 5",
        ),
        (
            (0, 0, 3),
            "extensions is 3, but no natural end is possible: min_thinking_tokens and "
            "max_thinking_tokens are both 0",
        ),
        ((5, 0, 1, ""), "extension_text '' has no tokens; None is the format's own"),
    ],
)
def test_a_budget_that_cannot_hold_is_refused(budget: tuple[Any, ...], why: str) -> None:
    with pytest.raises(ValueError) as caught:
        Budget(*budget)
    assert str(caught.value) == why


def test_a_minimum_that_is_the_cap_is_fine_without_extensions() -> None:
    done, _ = run("aSbScS", max_thinking_tokens=3, min_thinking_tokens=3)
    assert spoken(done) == ("abc", CUT, 0)


def test_compat_semantics_exclude_each_other_and_rejection() -> None:
    with pytest.raises(ValueError, match="harness_compat and readme_compat exclude each other"):
        Budget(5, harness_compat=True, readme_compat=True)
    for compat in COMPAT[1:]:
        with pytest.raises(ValueError, match="answer_when_cut=False does not go with the compat"):
            Budget(5, answer_when_cut=False, **compat)


def test_an_extension_text_without_tokens_is_refused() -> None:
    deaf = bind(S1, Letters(*LETTERS.known, missing="~"))
    with pytest.raises(ValueError, match=r"^extension_text '~' has no tokens"):
        Chain(deaf, Budget(9, extensions=1, extension_text="~"), 99)


@pytest.mark.parametrize(
    ("room", "cause"), [(4, "max_thinking"), (3, "max_thinking"), (2, "context")]
)
def test_a_cap_that_the_context_just_holds_is_what_cuts(room: int, cause: StopCause) -> None:
    done, _ = run("abcdef", room=room, max_thinking_tokens=3)
    assert done.stop_cause == cause


def test_a_budget_smaller_than_the_wait_cuts_the_wait_and_does_not_count_it() -> None:
    begun = chain(3, 0, 1, extension_text="Hmm")
    segments = Model("aS").run(begun)
    assert spoken(begun) == ("aHm", CUT, 0)
    assert begun.stop_cause == "max_thinking"
    assert begun.forced_tokens == 2 + len(begun.closing)
    assert shown(segments)[0] == ("thinking", "aHm")
    assert begun.violations() == ()


def test_a_caller_may_choose_the_extension() -> None:
    done, _ = run("aSbScS", max_thinking_tokens=20, extensions=2, extension_text="Hm, ")
    assert spoken(done) == ("aHm, bHm, c", END, 2)


def test_the_end_delimiter_is_not_shown_and_the_forced_answer_is() -> None:
    natural, cut = chain(5), chain(1)
    assert shown(Model("aS").run(natural)) == [("thinking", "a"), ("answer", "!")]
    assert shown(Model("a").run(cut)) == [
        ("thinking", "a"),
        ("answer", "\nFinal Answer:"),
        ("answer", "!"),
    ]


def test_an_answer_that_is_forced_at_once_is_shown_in_the_opening() -> None:
    assert shown(chain(0).opening()) == [("answer", "\nFinal Answer:")]
    assert chain(1).opening() == []


@pytest.mark.parametrize("compat", COMPAT, ids=str)
def test_only_the_end_of_turn_ends_an_answer(compat: Compat) -> None:
    done, model = run("aS", max_thinking_tokens=5, **compat)
    assert model.calls[-1] == GenerateCall(128, 0, frozenset({1}))
    assert done.reached_end_of_turn


def test_counts_tell_forced_and_dropped_tokens_apart() -> None:
    done, _ = run("aSbScS", max_thinking_tokens=20, extensions=2)
    assert done.forced_tokens == 2 + len(FORMAT.end)
    assert done.discarded_tokens == 3 + 1


def test_a_call_that_ends_by_length_may_say_so_after_its_last_token() -> None:
    begun = chain(2)
    begun.feed(ids("ab"), None)
    begun.feed([], "length")
    assert begun.next_call() == GenerateCall(128, 0, frozenset({1}))


def test_a_try_that_its_cap_cuts_is_rejected_and_costs_no_answer() -> None:
    begun = chain(2, answer_when_cut=False)
    model = Model("abc")
    assert shown(model.run(begun)) == [("thinking", "ab")]
    assert (begun.stop_cause, begun.closing, begun.answer) == ("rejected", [], [])
    assert len(model.calls) == 1
    assert begun.violations() == ()


def test_a_try_that_the_context_cuts_still_answers() -> None:
    done, _ = run("abc", room=1, max_thinking_tokens=2, answer_when_cut=False)
    assert spoken(done) == ("a", CUT, 0)


@pytest.mark.parametrize("cause", sorted(UNANSWERED))
@pytest.mark.parametrize("compat", COMPAT, ids=str)
def test_an_abandoned_chain_is_done_and_excused(cause: StopCause, compat: Compat) -> None:
    begun = chain_for(FORMAT, Budget(9, 0 if compat else 5, 2, **compat), 99)
    begun.feed(ids("a"), "abort")
    begun.abandon(cause)
    assert begun.next_call() is None
    assert (begun.stop_cause, begun.thinking) == (cause, ids("a"))
    assert begun.violations() == ()


@pytest.mark.parametrize("compat", COMPAT, ids=str)
def test_a_chain_that_is_concluded_answers_with_what_it_has(compat: Compat) -> None:
    begun = chain_for(FORMAT, Budget(9, 0 if compat else 5, **compat), 99)
    begun.feed(ids("ab"), None)
    begun.conclude()
    Model("").run(begun)
    assert begun.stop_cause == "early_exit"
    assert spoken(begun) == ("ab", "" if "readme_compat" in compat else CUT, 0)
    assert LETTERS.decode(begun.answer) == "!"
    assert begun.violations() == ()


def test_a_chain_that_has_begun_to_answer_cannot_be_concluded_any_more() -> None:
    begun = chain(9)
    begun.feed(ids("abS"), "stop")
    assert begun.conclude() == []
    assert spoken(begun) == ("ab", END, 0)
    assert begun.stop_cause == "natural"


@pytest.mark.parametrize(
    ("budget", "fed", "broken"),
    [
        (Budget(2), [("abc", "length")], ("max_thinking_tokens", "unfinished")),
        (Budget(9, 3), [("aS", "stop"), ("!E", "stop")], ("unfinished",)),
        (Budget(9, answer_tokens=1), [("aS", "stop"), ("!?", "length")], ("answer_tokens",)),
        (
            Budget(9, readme_compat=True),
            [("abcdefghij", "length"), ("!E", "stop")],
            ("max_thinking_tokens",),
        ),
        (
            Budget(2, 2, harness_compat=True),
            [("aS", "stop"), ("!E", "stop")],
            ("min_thinking_tokens",),
        ),
    ],
)
def test_an_engine_that_does_not_do_as_asked_is_told_on(
    budget: Budget, fed: list[tuple[str, Finish]], broken: tuple[str, ...]
) -> None:
    begun = chain_for(FORMAT, budget, 99)
    for said, finish in fed:
        begun.feed(ids(said), finish)
    assert begun.violations() == broken


def resume(finished: Chain, budget: Budget) -> Chain:
    assert finished.stop_cause is not None
    return Chain.resume(
        FORMAT,
        budget,
        room=99,
        thinking=tuple(finished.thinking),
        stop_cause=finished.stop_cause,
        extensions=finished.extensions_used,
    )


@pytest.mark.parametrize("waits", [0, 2])
def test_an_ended_chain_that_is_resumed_gets_a_wait_first(waits: int) -> None:
    finished, _ = run("a" + "Sb" * waits + "S", max_thinking_tokens=20, extensions=waits)
    resumed = resume(finished, Budget(20, extensions=waits + 1))
    assert LETTERS.decode(resumed.thinking) == "a" + "Waitb" * waits + "Wait"
    assert resumed.extensions_used == waits + 1
    assert resumed.forced_tokens == 1
    assert resumed.next_call() == GenerateCall(20 - len(resumed.thinking), 1, STOPS)
    assert shown(resumed.opening()) == [("thinking", "Wait")]


def test_a_resumed_chain_without_a_wait_left_goes_on_to_its_answer() -> None:
    finished, _ = run("aS", max_thinking_tokens=9)
    resumed = resume(finished, Budget(9))
    assert spoken(resumed) == ("a", END, 0)
    assert resumed.next_call() == GenerateCall(128, 0, frozenset({1}))


@pytest.mark.parametrize(
    ("first", "more", "script"),
    [
        pytest.param(Budget(2), Budget(6), "abSc", id="stop-comes-next"),
        pytest.param(Budget(2), Budget(6), "abcS", id="word-comes-next"),
        pytest.param(Budget(3, 0, 1), Budget(6, 0, 1), "aSbcS", id="after-a-wait-word-next"),
        pytest.param(Budget(3, 0, 1), Budget(6, 0, 1), "aSbSc", id="after-a-wait-stop-next"),
        pytest.param(Budget(2, 0, 1), Budget(6, 0, 1), "aSSbS", id="cut-right-after-a-wait"),
    ],
)
def test_a_cut_chain_that_is_resumed_thinks_on_as_if_it_had_not_been_cut(
    first: Budget, more: Budget, script: str
) -> None:
    whole, short = Chain(FORMAT, more, 99), Chain(FORMAT, first, 99)
    Model(script).run(whole)
    Model(script).run(short)
    assert short.stop_cause == "max_thinking"
    resumed = resume(short, more)
    said = len(short.thinking) - short.extensions_used + short.discarded_tokens - 1
    Model(script[said:]).run(resumed)
    assert spoken(resumed) == spoken(whole)
    assert resumed.stop_cause == whole.stop_cause


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (
            Budget(2, extensions=1),
            "max_thinking_tokens is 2, but the chain to be extended has 3 thinking tokens already",
        ),
        (Budget(9), "extensions is 0, but the chain to be extended has had 1 already"),
    ],
)
def test_nothing_that_was_thought_is_taken_back(more: Budget, why: str) -> None:
    finished, _ = run("aSbS", max_thinking_tokens=9, extensions=1)
    with pytest.raises(ValueError) as caught:
        resume(finished, more)
    assert str(caught.value) == why


def test_a_stop_text_that_comes_in_pieces_is_not_shown_by_halves() -> None:
    begun = Chain(bind(S1_STEPS, LETTERS), Budget(20), 99)
    assert shown(begun.feed(ids("aS"), None)) == [("thinking", "a")]
    assert begun.feed(ids("-"), "stop") == []
    assert spoken(begun) == ("a", END, 0)
    assert begun.discarded_tokens == 2


def test_what_looked_like_a_stop_text_and_was_none_is_shown_late() -> None:
    begun = Chain(bind(S1_STEPS, LETTERS), Budget(20), 99)
    assert shown(begun.feed(ids("aS"), None)) == [("thinking", "a")]
    assert shown(begun.feed(ids("1b"), None)) == [("thinking", "<|im_start|>1b")]


def test_a_stop_text_inside_the_last_token_of_the_context_is_a_cut_below_the_minimum() -> None:
    merged = Letters(*LETTERS.known, "b<|im_start|>0")
    begun = Chain(bind(S1_STEPS, merged), Budget(4, 4), 2)
    begun.feed([*ids("a"), merged.known["b<|im_start|>0"]], "stop")
    assert spoken(begun) == ("ab", CUT, 0)
    assert begun.stop_cause == "context"
