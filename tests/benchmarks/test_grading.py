"""The arithmetic of `benchmarks.grading`."""

import asyncio
import time
from random import Random

from benchmarks.grading import (
    as_before,
    formula_pairs,
    hostile_answers,
    largest_lag,
    microseconds,
    plain_replies,
)
from workers.answers.find import find_answer


def test_a_lag_of_the_loop_is_seen() -> None:
    async def blocked() -> float:
        done = asyncio.Event()
        ticking = asyncio.create_task(largest_lag(done))
        await asyncio.sleep(0.02)
        time.sleep(0.1)
        await asyncio.sleep(0.02)
        done.set()
        return await ticking

    assert asyncio.run(blocked()) > 50


def test_the_time_of_an_answer_is_told() -> None:
    assert microseconds(lambda _: time.sleep(0.0002), ["x"] * 200) > 200


def test_answers_are_new_and_plain_ones_are_found() -> None:
    replies = plain_replies(400, Random(0))
    assert len(set(replies)) > 300
    assert None not in map(find_answer, replies)
    assert as_before("So.\nAnswer: $1,234.") == "1234"


def test_there_are_as_many_hostile_answers_as_asked_and_a_few_of_a_megabyte() -> None:
    hostile = list(hostile_answers(100, Random(0)))
    assert len(hostile) == 104
    assert max(map(len, hostile)) >= 1 << 20
    pairs = list(formula_pairs(16, Random(0)))
    assert len(set(pairs)) == 16
