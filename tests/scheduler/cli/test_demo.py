"""What the demonstration says of a policy that learns."""

from typing import Any

from scheduler.cli.demo import last_half


def row(turn: int, correct: bool, tokens: int, policy: str = "priced") -> dict[str, Any]:
    return {"policy": policy, "turn": turn, "correct": correct, "tokens": tokens}


def test_the_last_half_is_of_the_questions_asked_last_whenever_they_were_answered() -> None:
    # Question 0 was asked first, thought for long and was answered last.
    answered = [row(2, True, 10), row(1, False, 50), row(3, False, 30), row(0, False, 900)]
    others = [row(9, True, 7, policy="one pass")]
    assert last_half(answered + others) == "priced on the last 2 questions: 50.0% at 20 tokens"
