"""The tricky cases of s1's evaluation code and README loop, under every semantics.

Scripts are those of scripted.py: S is <|im_start|>, E <|im_end|>, and "." a token ".\\n".
"""

from dataclasses import replace
from typing import Any, cast

import pytest

from policies.plan import Budget
from tests.workers.forcing.scripted import (
    FORMAT,
    LETTERS,
    Compat,
    Model,
    compat_of,
    ids,
    run,
    spoken,
)
from tests.workers.letters import Letters
from workers.forcing.chain import Chain, GenerateCall
from workers.forcing.harness import auto_cap, chain_for
from workers.format import S1, S1_STEPS, bind

END = "<|im_start|>answer"
CUT = "<|im_start|>answer\nFinal Answer:"
NEWLINE_CUT = "\n" + CUT
NOTHING = ""


# Rows: case, script, (cap, minimum, extensions), then what thinking, closing and the number of
# Waits are in the evaluation code, in our default, and in the README's loop; None where the loop
# has no such case.
CASES = [
    ("1 stop", "abS", (5, 0, 0), ("ab", END, 0), ("ab", END, 0), ("ab", NOTHING, 0)),
    ("2 stop is token B", "abS", (3, 0, 0), ("ab", END, 0), ("ab", END, 0), ("ab", NOTHING, 0)),
    (
        "2 stop is token B, one Wait",
        *("abScS", (3, 0, 1)),
        *(("abWait", END, 1), ("abWait", NEWLINE_CUT, 1), ("ab", NOTHING, 0)),
    ),
    ("3 cut", "abc", (3, 0, 0), ("abc", NEWLINE_CUT, 0), ("abc", NEWLINE_CUT, 0), ("abc", "", 0)),
    ("3 cut on newline", "ab\n", (3, 0, 0), ("ab\n", CUT, 0), ("ab\n", CUT, 0), ("ab\n", "", 0)),
    ("3 cut on .newline", "ab.", (3, 0, 0), ("ab.\n", CUT, 0), ("ab.\n", CUT, 0), None),
    ("4 end of turn", "abE", (9, 0, 0), ("ab", END, 0), ("ab", END, 0), ("ab", NOTHING, 0)),
    (
        "4 end of turn ignored",
        *("aEbE", (9, 0, 1)),
        *(("aWaitb", END, 1), ("aWaitb", END, 1), ("aWaitb", NOTHING, 1)),
    ),
    ("5 stop, then anything", "aSb", (9, 0, 0), ("a", END, 0), ("a", END, 0), ("a", NOTHING, 0)),
    ("6 stop first", "S", (9, 0, 0), ("", END, 0), ("", END, 0), ("", NOTHING, 0)),
    ("6 stop first, minimum", "SaS", (9, 1, 0), ("a", END, 0), ("a", END, 0), None),
    (
        "6 stop first, one Wait",
        *("SaSSbS", (9, 0, 1)),
        *(("aWaitb", END, 1), ("Waita", END, 1), ("Waita", NOTHING, 1)),
    ),
    (
        "7 two Waits",
        *("aSbScS", (9, 0, 2)),
        *(("aWaitbWaitc", END, 2), ("aWaitbWaitc", END, 2), ("aWaitbWaitc", NOTHING, 2)),
    ),
    (
        "8 second call is cut",
        *("aSbcde", (4, 0, 2)),
        *(("aWaitbc", NEWLINE_CUT, 1), ("aWaitbc", NEWLINE_CUT, 1), ("aWaitbc", NOTHING, 1)),
    ),
    (
        "9 a word after each Wait",
        *("aSSbSSScS", (9, 0, 2)),
        *(("aWaitbWaitc", END, 2), ("aWaitbWaitc", END, 2), ("aWaitbWaitc", NOTHING, 2)),
    ),
    (
        "10 calls together above B, ends by itself",
        *("abScdSefS", (5, 0, 2)),
        *(("abWaitcd", END, 2), ("abWaitcd", NEWLINE_CUT, 1), ("abWaitcd", NOTHING, 1)),
    ),
    (
        "10 newline is cut away and still counts",
        *("aSbc\n", (3, 0, 1)),
        *(("aWaitb", CUT, 1), ("aWaitb", NEWLINE_CUT, 1), ("aWaitb", NOTHING, 1)),
    ),
    (
        "10 newline is bared by the cut and does not count",
        *("aS\nbc", (3, 0, 1)),
        *(("aWait\n", NEWLINE_CUT, 1), ("aWait\n", CUT, 1), ("aWait\n", NOTHING, 1)),
    ),
    ("12 B is 1", "a", (1, 0, 0), ("a", NEWLINE_CUT, 0), ("a", NEWLINE_CUT, 0), ("a", "", 0)),
    ("12 B is 0", "a", (0, 0, 0), ("", NEWLINE_CUT, 0), ("", NEWLINE_CUT, 0), ("", NOTHING, 0)),
    ("13 minimum", "aSbEcS", (9, 3, 0), ("abc", END, 0), ("abc", END, 0), None),
    (
        "13 minimum and one Wait",
        *("aSbScSdS", (9, 3, 1)),
        *(("aWaitb", END, 1), ("abcWaitd", END, 1), None),
    ),
    (
        "19 all are cut in the first call",
        *("abS", (2, 0, 6)),
        *(("ab", NEWLINE_CUT, 0), ("ab", NEWLINE_CUT, 0), ("ab", NOTHING, 0)),
    ),
]
SEMANTICS = ("harness_compat", "clean", "readme_compat")


@pytest.mark.parametrize(
    ("semantics", "script", "budget", "expected"),
    [
        pytest.param(semantics, script, budget, expected, id=f"{name}-{semantics}")
        for name, script, budget, *column in CASES
        for semantics, expected in zip(SEMANTICS, column, strict=True)
        if expected is not None
    ],
)
def test_case(
    semantics: str, script: str, budget: tuple[int, int, int], expected: tuple[str, str, int]
) -> None:
    compat = compat_of(semantics)
    chain = chain_for(FORMAT, Budget(*budget, **compat), 99)
    Model(script).run(chain)
    assert chain.violations() == ()
    assert spoken(chain) == expected
    assert FORMAT.decode(chain.answer) == "!"


@pytest.mark.parametrize("compat", [{"harness_compat": True}, {}], ids=["harness", "clean"])
def test_case_7_no_ends_to_ignore_is_a_minimum_of_one(compat: Compat) -> None:
    chain, model = run("SaS", max_thinking_tokens=9, min_thinking_tokens=1, **compat)
    assert spoken(chain) == ("a", END, 0)
    assert model.calls[0].min_tokens == 1
    assert len(model.calls) == 2


def test_case_7_ends_are_masked_once_in_every_call_of_the_evaluation_code() -> None:
    _, model = run("aSbScS", max_thinking_tokens=9, extensions=2, harness_compat=True)
    assert [(call.max_tokens, call.min_tokens) for call in model.calls] == [
        *[(9, 1)] * 3,
        (128, 0),
    ]


def test_case_9_without_a_string_nothing_is_appended_and_a_token_must_come() -> None:
    chain, model = run(
        "aSSbS", max_thinking_tokens=9, extensions=1, extension_text="", harness_compat=True
    )
    assert spoken(chain) == ("ab", END, 1)
    assert chain.forced_tokens == len(FORMAT.end)


@pytest.mark.parametrize(
    ("compat", "second"),
    [
        ("harness_compat", GenerateCall(10, 1, frozenset({1, 2}))),
        ("readme_compat", GenerateCall(6, 1, frozenset({1, 2}))),
    ],
)
def test_case_11_what_the_second_call_may_say(compat: str, second: GenerateCall) -> None:
    budget = Budget.within(10, extensions=1, extension_text="Hmm", **{compat: True})
    chain = chain_for(FORMAT, budget, 99)
    chain.feed(ids("abcS"), "stop")
    assert chain.next_call() == second


def test_case_11_our_default_charges_the_wait_and_not_the_stop() -> None:
    chain = Chain(FORMAT, Budget(10, extensions=1, extension_text="Hmm"), 99)
    chain.feed(ids("abcS"), "stop")
    assert chain.next_call() == GenerateCall(4, 1, frozenset({1, 2}))


class Silent(Letters):
    """Its token 0 is no text at all."""

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = False) -> str:
        return super().decode([token for token in token_ids if token])


@pytest.mark.parametrize("harness_compat", [True, False])
def test_case_12_thinking_without_text_has_no_newline(harness_compat: bool) -> None:
    chain = chain_for(
        bind(S1, Silent(*LETTERS.known)), Budget(1, harness_compat=harness_compat), 99
    )
    chain.feed([0], "length")
    assert spoken(chain) == ("", NEWLINE_CUT, 0)


@pytest.mark.parametrize("compat", [{"harness_compat": True}, {}], ids=["harness", "clean"])
def test_case_13_a_minimum_above_the_cap_is_refused(compat: Compat) -> None:
    with pytest.raises(ValueError, match=r"^min_thinking_tokens \(6\) is above max_thinking_tok"):
        Budget(5, 6, **compat)


# Step-conditional control as s1 ran it: only zero steps end the thinking.
STEPS = bind(replace(S1_STEPS, stop_texts=("<|im_start|>0",)), LETTERS)


@pytest.mark.parametrize("field", ["extensions", "min_thinking_tokens"])
def test_case_14_stops_of_several_tokens_cannot_be_held_back_in_the_harness(field: str) -> None:
    with pytest.raises(ValueError, match=rf"^{field} is 2, .*\('<|im_start|>0',\)"):
        chain_for(STEPS, replace(Budget(9, harness_compat=True), **cast(Any, {field: 2})), 99)


@pytest.mark.parametrize("field", ["extensions", "min_thinking_tokens"])
def test_case_14_in_our_default_they_can(field: str) -> None:
    chain, _ = run("S0abS0", STEPS, max_thinking_tokens=9, **{field: 1})
    assert spoken(chain) == ("Waitab", END, chain.extensions_used)
    assert chain.extensions_used == (1 if field == "extensions" else 0)


@pytest.mark.parametrize("compat", [{"harness_compat": True}, {}], ids=["harness", "clean"])
def test_case_14_a_stop_split_by_the_cap_stays(compat: Compat) -> None:
    chain, _ = run("abS0", STEPS, max_thinking_tokens=3, **compat)
    assert spoken(chain) == ("ab<|im_start|>", NEWLINE_CUT, 0)


@pytest.mark.parametrize("compat", [{"harness_compat": True}, {}], ids=["harness", "clean"])
def test_case_15_zero_steps_end_the_thinking(compat: Compat) -> None:
    chain, _ = run("S1abS0", STEPS, max_thinking_tokens=9, **compat)
    assert spoken(chain) == ("<|im_start|>1ab", END, 0)


def test_case_15_an_answer_before_zero_steps_is_followed_by_another() -> None:
    chain, _ = run("S1aSanswer.bE", STEPS, max_thinking_tokens=30, harness_compat=True)
    assert spoken(chain) == ("<|im_start|>1a<|im_start|>answer.\nb", END, 0)


@pytest.mark.parametrize("end", ["S0", "S-1", "Sanswer.bE"])
def test_case_15_in_our_format_zero_the_answer_and_negative_steps_end_it(end: str) -> None:
    chain, _ = run("S1a" + end, bind(S1_STEPS, LETTERS), max_thinking_tokens=30)
    assert spoken(chain) == ("<|im_start|>1a", END, 0)


@pytest.mark.parametrize(("twice", "count"), [(True, 2), (False, 1)])
@pytest.mark.parametrize("harness_compat", [True, False])
def test_case_16_an_end_that_forces_the_answer_anyway(
    twice: bool, count: int, harness_compat: bool
) -> None:
    on_cut = CUT + "\nFinal Answer:" if twice else CUT
    format_ = bind(replace(S1, end=CUT, end_on_cut=on_cut), LETTERS)
    chain, _ = run("ab", format_, max_thinking_tokens=2, harness_compat=harness_compat)
    assert FORMAT.decode(chain.closing).count("Final Answer:") == count


def test_case_17_the_automatic_cap_shrinks_with_the_longest_prompt_of_a_batch() -> None:
    start, on_cut = ["<|im_start|>", "think"], ["<|im_start|>", "answer", "\n", "Final Answer:"]
    for longest in (500, 700):
        expected = 32768 - longest - len(start) - len(on_cut) - 100
        assert auto_cap(32768, longest, FORMAT) == expected
    assert auto_cap(300, 250, FORMAT) == 0


@pytest.mark.parametrize(
    ("room", "extensions", "thinking", "waits"),
    [
        (3, 0, "abc", 0),
        (3, 1, "abWait", 1),
        (2, 1, "ab", 0),
        (0, 0, "", 0),
        pytest.param(-3, 0, "", 0, id="31 a context below the answer"),
    ],
)
@pytest.mark.parametrize("compat", [{"harness_compat": True}, {}], ids=["harness", "clean"])
def test_case_18_the_context_is_full_before_the_cap(
    room: int, extensions: int, thinking: str, waits: int, compat: Compat
) -> None:
    script = "abS" if extensions else "abc"
    chain, model = run(script, room=room, max_thinking_tokens=9, extensions=extensions, **compat)
    assert spoken(chain) == (thinking, NEWLINE_CUT, waits)
    assert chain.stop_cause == "context"
    assert model.calls[-1].max_tokens == 128, "the answer keeps its place"


@pytest.mark.parametrize("room", [3, 2, 0, -3])
def test_case_18_the_readmes_loop_answers_from_a_full_context(room: int) -> None:
    chain, model = run("abcd", room=room, max_thinking_tokens=9, extensions=2, readme_compat=True)
    assert spoken(chain) == ("abcd"[: max(0, room)], NOTHING, 0)
    assert chain.stop_cause == "context"
    assert model.calls[-1].max_tokens == 128


@pytest.mark.parametrize("semantics", SEMANTICS)
def test_case_19_a_finished_chain_asks_for_nothing(semantics: str) -> None:
    compat = compat_of(semantics)
    chain, _ = run("ab", max_thinking_tokens=2, extensions=3, **compat)
    assert chain.phase == "done"
    assert chain.next_call() is None


MERGING = Letters("<|im_end|>", "<|im_start|>", "ab", "bW", "think", "think1", "Wait", "answer")


@pytest.mark.parametrize(
    ("semantics", "prompted"),
    [
        ("clean", ["c", "<|im_start|>", "think", "1", "a", "b", "Wait"]),
        ("harness_compat", ["c", "<|im_start|>", "think", "1", "a", "b", "Wait"]),
        ("readme_compat", ["c", "<|im_start|>", "think1", "ab", "Wait"]),
    ],
)
def test_case_20_ids_are_fed_back_but_by_the_readmes_loop(
    semantics: str, prompted: list[str]
) -> None:
    compat = compat_of(semantics)
    format_ = bind(S1, MERGING)
    chain = chain_for(format_, Budget(9, extensions=1, **compat), 99)
    prompt = [1000 + ord("c"), *format_.start]
    assert chain.prompt(prompt) == prompt
    chain.feed(ids("1abS"), "stop")
    assert [MERGING.decode([token]) for token in chain.prompt(prompt)] == prompted


@pytest.mark.parametrize("semantics", SEMANTICS)
def test_case_22_an_endless_answer_ends_with_its_reserve(semantics: str) -> None:
    compat = compat_of(semantics)
    chain = chain_for(FORMAT, Budget(2, answer_tokens=3, **compat), 99)
    Model("ab", answer="!Sbcdef").run(chain)
    assert FORMAT.decode(chain.answer) == "!<|im_start|>b"
    assert not chain.reached_end_of_turn


@pytest.mark.parametrize(
    ("script", "accepted"), [("abS", True), ("abE", True), ("abcS", False), ("abcd", False)]
)
def test_case_26_a_try_is_accepted_when_it_ends_within_the_cap_its_stop_included(
    script: str, accepted: bool
) -> None:
    chain, _ = run(script, max_thinking_tokens=3, answer_when_cut=False)
    assert (chain.stop_cause == "natural") == accepted
    assert (chain.stop_cause == "rejected") == (not accepted)
    assert (FORMAT.decode(chain.answer) == "!") == accepted
