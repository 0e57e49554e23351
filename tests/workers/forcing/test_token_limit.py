"""`max_tokens` bounds all that a chain costs, and a stop text ends its answer, whatever is said."""

from dataclasses import replace
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.plan import Budget
from tests.workers.forcing.scripted import FORMAT, LETTERS, Model, compat_of
from tests.workers.forcing.test_chain_properties import allowances, formats, models, run
from workers.forcing.answer_stop import cut, end_of
from workers.forcing.chain import Chain
from workers.forcing.harness import chain_for
from workers.format import TokenFormat

CLOSING = FORMAT.most_closing
STOPS = st.lists(st.text("abc#\n", min_size=1, max_size=3), max_size=3).map(tuple)


def cost(chain: Chain) -> int:
    return len(chain.thinking) + len(chain.closing) + len(chain.answer) + chain.discarded_tokens


@given(
    data=st.data(),
    format_=formats(),
    budget=allowances(),
    room=st.integers(0, 30),
    most=st.integers(1, 40),
    stops=STOPS,
    compat=st.sampled_from(["clean", "harness_compat", "readme_compat"]),
    limited=st.booleans(),
)
def test_all_that_a_chain_costs_is_bounded(
    data: st.DataObject,
    format_: TokenFormat,
    budget: Budget,
    room: int,
    most: int,
    stops: tuple[str, ...],
    compat: str,
    limited: bool,
) -> None:
    if compat != "clean":
        if format_.stop_texts and compat == "harness_compat":
            budget = replace(budget, extensions=0)
        budget = replace(budget, min_thinking_tokens=0, answer_when_cut=True, **compat_of(compat))
    budget = budget.limited(most) if limited else replace(budget, max_tokens=most)
    chain = chain_for(format_, budget, room, stops)
    model = data.draw(models(format_))
    run(chain, model, data.draw(st.integers(0, 60)), data.draw(st.sampled_from(["", "conclude"])))
    assert cost(chain) <= most
    assert chain.violations() == ()
    said = format_.decode([*chain.forced_answer, *chain.answer]).lstrip()
    if chain.stopped:
        assert chain.reached_end_of_turn
    if not chain.stopped or end_of(format_.decode(chain.forced_answer), stops) is None:
        assert cut(said, stops) == said


@pytest.mark.parametrize("most", range(1, 30))
@pytest.mark.parametrize("thinking", ["abcS", "aSbScS", "S", "z", ".S"])
@pytest.mark.parametrize("extensions", [0, 2])
def test_a_limit_leaves_what_it_can_to_the_answer(
    most: int, thinking: str, extensions: int
) -> None:
    budget = Budget(100, extensions=extensions, answer_tokens=20).limited(most)
    chain = Chain(FORMAT, budget, 1000)
    Model(thinking, "y" * 100).run(chain)
    assert cost(chain) <= most
    if most > CLOSING:
        assert len(chain.answer) >= min(budget.answer_tokens, most - CLOSING)
        assert cost(chain) == most, "what thinking leaves belongs to the answer"
        assert not chain.reached_end_of_turn


def test_what_thinking_leaves_belongs_to_the_answer() -> None:
    chain = Chain(FORMAT, Budget(100, answer_tokens=20).limited(60), 1000)
    Model("aS", "y" * 40 + "E").run(chain)
    assert (len(chain.answer), chain.reached_end_of_turn) == (40, True)


@pytest.mark.parametrize(
    ("answer", "stops", "left", "ended"),
    [
        ("one#two", ("#",), "one", True),
        ("one##two", ("##",), "one", True),
        ("onetwE", ("two",), "onetw", False),
        ("\n\none\ntwo", ("\n",), "\n\none", True),
        ("..one.two", (".", "\n"), "", True),
        ("E", ("#",), "", False),
        ("abcdbc", ("abcd", "bc"), "a", True),
    ],
)
def test_a_stop_text_ends_the_answer(
    answer: str, stops: tuple[str, ...], left: str, ended: bool
) -> None:
    for sizes in (repeat(1000), repeat(1), repeat(3)):
        chain = Chain(FORMAT, Budget(50), 1000, answer_stops=stops)
        Model("abS", answer + "E", sizes).run(chain)
        assert chain.reached_end_of_turn
        assert bool(chain.stopped) is ended
        text = LETTERS.decode(chain.answer)
        assert text == left
        assert cost(chain) <= 3 + len(chain.closing) + len(answer) + 1


@pytest.mark.parametrize("stop", ["Final", "Answer:", ":", "F"])
def test_a_stop_in_the_forced_words_ends_the_answer_before_it_begins(stop: str) -> None:
    chain = Chain(FORMAT, Budget(3), 1000, answer_stops=(stop,))
    Model("abcdef", "yyyE").run(chain)
    assert (chain.answer, chain.reached_end_of_turn, chain.phase) == ([], True, "done")
    assert chain.violations() == ()
