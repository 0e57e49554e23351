"""A chain pauses after one step, keeps all of its tokens, and goes on where it paused."""

import pytest

from policies.plan import Budget
from tests.workers.forcing.scripted import FORMAT, LETTERS, Model, ids
from workers.forcing.chain import Chain
from workers.forcing.harness import chain_class, chain_for
from workers.forcing.step_chain import StepChain

STEP = Budget(40, step_tokens=10, step_text="\n", answer_tokens=5)


def after(script: str, budget: Budget = STEP, thinking: str = "") -> Chain:
    """The chain when this script has been said; it goes on from a paused one's thinking."""
    chain = chain_for(FORMAT, budget, 99)
    if thinking:
        chain = chain_class(budget).resume(
            FORMAT, budget, room=99, thinking=ids(thinking), stop_cause="paused", extensions=0
        )
        assert isinstance(chain, StepChain)
        chain.begun = len(ids(thinking))
    Model(script).run(chain)
    return chain


def test_it_pauses_after_the_text_of_a_step_and_keeps_it() -> None:
    chain = after("ab.cd.")
    assert (chain.stop_cause, chain.thinking) == ("paused", ids("ab."))
    assert (chain.answer, chain.forced_tokens, chain.discarded_tokens) == ([], 0, 0)
    assert chain.violations() == ()


def test_white_space_alone_is_no_step() -> None:
    chain = after("\n\nab.")
    assert LETTERS.decode(chain.thinking) == "\n\nab.\n"


def test_a_step_without_its_text_ends_after_its_tokens() -> None:
    chain = after("abcdefghijklmnop")
    assert (chain.stop_cause, chain.thinking) == ("paused", ids("abcdefghij"))


def test_a_natural_end_within_the_step_answers() -> None:
    chain = after("abS")
    assert (chain.stop_cause, chain.thinking) == ("natural", ids("ab"))
    assert chain.answer == ids("!")


def test_the_cap_within_the_step_forces_the_answer() -> None:
    chain = after("abcdefgh", Budget(5, step_tokens=10, step_text="\n", answer_tokens=5))
    assert (chain.stop_cause, len(chain.thinking)) == ("max_thinking", 5)
    assert chain.answer == ids("!")


def test_a_branch_thinks_the_next_step_only() -> None:
    chain = after("cd.ef.", thinking="ab.")
    assert (chain.stop_cause, chain.thinking) == ("paused", ids("ab.cd."))
    assert after("cdefghijklmnop", thinking="ab.").thinking == ids("ab.cdefghijkl")


def test_a_paused_chain_goes_on_to_its_end_without_steps() -> None:
    chain = after("cd.efS", Budget(40, answer_tokens=5), thinking="")
    assert chain.stop_cause == "natural"
    budget = Budget(40, answer_tokens=5)
    chain = Chain.resume(
        FORMAT, budget, room=99, thinking=ids("ab."), stop_cause="paused", extensions=0
    )
    Model("cd.S").run(chain)
    assert (chain.stop_cause, chain.thinking) == ("natural", ids("ab.cd."))
    assert chain.forced_tokens == len(FORMAT.end)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"step_text": "\n"}, "step_tokens is not set"),
        ({"step_tokens": 0}, "step_tokens must be between 1"),
        ({"step_tokens": 5, "step_text": ""}, "step_text must be a text of 1 to 100 letters"),
        ({"step_tokens": 5, "harness_compat": True}, "step_tokens does not go with"),
    ],
)
def test_a_step_that_cannot_be_is_refused(fields: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Budget.within(40, **fields)
