import pytest

from policies.rewards import chain_reward
from workers.verifier.steps import step_ends


@pytest.mark.parametrize(
    ("thinking", "steps"),
    [
        ("", []),
        (" \n\n ", []),
        ("so it is", ["so it is"]),
        ("a=3 *7-2=9+5 b=4", ["a=3", " *7-2=9", "+5 b=4"]),
        ("3+7=0\nWait, check:\n3+7=0:0 ok so 0\n",
         ["3+7=0", "\nWait, check:", "\n3+7=0", ":0 ok so 0"]),
        ("x = 12.5 and y=-3, then\n\nx + y = 9.5",
         ["x = 12.5", " and y=-3", ", then", "\n\nx + y = 9.5"]),
    ],
)  # fmt: skip
def test_a_step_ends_a_line_or_a_value(thinking: str, steps: list[str]) -> None:
    ends = step_ends(thinking)
    assert [thinking[a:b] for a, b in zip([0, *ends], ends, strict=False)] == steps


def test_white_space_around_a_thinking_makes_no_step() -> None:
    text = "a=3 *7 b=1\nWait, check:\na=3"
    assert len(step_ends(f"\n{text}\n\n")) == len(step_ends(text)) == 4


def test_every_thinking_with_text_has_a_step_at_its_end() -> None:
    for text in ("a=3 *7-2=", "a=3 *7", "\nhm", "a=3 *7=1 "):
        assert step_ends(text)[-1] == len(text.rstrip())


def test_the_reward_of_a_chain_is_made_of_those_of_its_steps() -> None:
    rewards = [0.5, 0.2, 0.8]
    assert chain_reward(rewards) == 0.8
    assert chain_reward(rewards, "min") == 0.2
    assert chain_reward(rewards, "product") == pytest.approx(0.08)
    assert chain_reward(rewards, "mean") == pytest.approx(0.5)
    assert chain_reward([]) == 0.0
