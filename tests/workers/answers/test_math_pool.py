"""Processes that compare formulas end within their limits, and the pool goes on."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from policies.answer_spec import AnswerSpec
from tests.workers.answers.pools import RealPool, real_pool
from workers.answers.equality import Equality
from workers.answers.formulas import is_hostile
from workers.answers.grader import Grader
from workers.answers.math_pool import MathPool, PoolLimits, Undecided

pytestmark = pytest.mark.slow

LIMITS = PoolLimits(processes=1, seconds=1)
BOMBS = {
    "tower": "9^{9^{9}}",
    "tower with stars": "9**9**9",
    "factorial": "(10^{9})!",
    "factorial of a factorial": "((99)!)!",
    "power": "(x+y+z+1)^{999}",
    "binomial": r"\binom{10^{8}}{5\cdot 10^{7}}",
    "nested braces": "{" * 400 + "1" + "}" * 400,
    "nested roots": r"\sqrt{" * 200 + "2" + "}" * 200,
    "nested fractions": r"\frac{1}{1+" * 120 + "1" + "}" * 120,
    "a megabyte": "x+" * (1 << 19) + "1",
    "a megabyte of digits": "1" * (1 << 20),
    "code": "__import__('os').system('touch {file}')",
    "code in LaTeX": r"\text{__import__('os').system('touch {file}')}",
    "eval": "eval(open('/etc/passwd').read())",
    "null": "x\x00+1",
    "sum": r"\sum_{k=1}^{10^{9}} \frac{1}{k^k}",
    "integral": r"\int_0^1 \sin(x^{x^{x}}) \cos(e^{x^2}) \log(x+\tan(x)) dx",
    "half of a formula": r"\frac{1}{",
}


@pytest.fixture(scope="module", name="math")
def fixture_math() -> Iterator[RealPool]:
    yield from real_pool(LIMITS)


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_ends_within_the_limits_is_compared_by_spelling_and_the_pool_goes_on(
    bomb: str, math: RealPool, tmp_path: Path
) -> None:
    file = tmp_path / "written"
    bomb = bomb.replace("{file}", str(file))

    async def unchecked() -> bool | str:
        """What the process itself does with it, which `Equality` may not even ask."""
        try:
            return await math.pool.same(bomb, "x + 17")
        except Undecided as undecided:
            return undecided.failure

    async def timed() -> tuple[bool | str, float]:
        await math.pool.same("x", "x")  # a process is ready
        began = time.monotonic()
        return await unchecked(), time.monotonic() - began

    result, seconds = math.run(timed())
    assert result in (False, "slow", "killed", "unreadable")
    assert seconds < LIMITS.seconds + 2
    assert math.run(math.equality.same(bomb, bomb)).same
    if is_hostile(bomb):
        assert not math.run(math.equality.same(bomb, "x + 17")).same
    assert math.run(math.equality.same("x + 1 + y", "1 + y + x")).same
    assert not file.exists()


def test_what_mathematics_did_not_decide_is_compared_by_spelling_and_counted() -> None:
    async def work() -> None:
        async with MathPool(LIMITS) as pool:
            equality = Equality(pool)
            one, other = "(x+y+z+1)^{90}", "(x+y+z+2)^{90}"
            verdict = await equality.same(one, other)
            assert not verdict.same
            assert verdict.method == "text"
            assert verdict.why in ("slow", "killed", "unreadable")
            assert equality.counts[verdict.why] == 1
            assert sum(pool.failures.values()) == 1
            assert (await equality.same("9^{9^{9}}", "9^{9^9}")).same
            assert (await equality.same("9^{9^{9}} + x", "x + 9^{9^9}")).why == "hostile"
            assert equality.counts["hostile"] > 0
            # The same pair is not asked again.
            assert (await equality.same(one, other)).why == verdict.why
            assert sum(pool.failures.values()) == 1

    asyncio.run(work())


def test_a_process_that_is_killed_is_replaced() -> None:
    async def work() -> None:
        async with MathPool(LIMITS) as pool:
            assert await pool.same("x+1", "1+x")
            first = pool.pids
            os.kill(first[0], signal.SIGKILL)
            with pytest.raises(Undecided, match="killed"):
                await pool.same("x+1", "1+x")
            assert await pool.same("x+1", "1+x")
            assert pool.pids != first

    asyncio.run(work())


def test_a_process_that_is_stopped_is_replaced() -> None:
    async def work() -> None:
        async with MathPool(PoolLimits(processes=1, seconds=0.5)) as pool:
            assert await pool.same("x+1", "1+x")
            os.kill(pool.pids[0], signal.SIGSTOP)
            with pytest.raises(Undecided, match="slow"):
                await pool.same("x+1", "1+x")
            assert await pool.same("x+1", "1+x")

    asyncio.run(work())


def test_a_caller_that_is_cancelled_takes_no_answer_from_the_next() -> None:
    async def work() -> None:
        async with MathPool(LIMITS) as pool:
            assert await pool.same("x", "x")
            task = asyncio.create_task(pool.same("(a+b)^7", "1"))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await pool.same("a+b", "b+a")

    asyncio.run(work())


def test_no_process_outlives_the_pool() -> None:
    async def work() -> list[int]:
        async with MathPool(PoolLimits(processes=2)) as pool:
            await asyncio.gather(*(pool.same("x+1", "1+x") for _ in range(4)))
            pids = pool.pids
            assert len(pids) == 2
        with pytest.raises(Undecided, match="down"):
            await pool.same("x", "x")
        return pids

    for pid in asyncio.run(work()):
        assert not Path(f"/proc/{pid}").exists()


def test_where_no_process_starts_answers_are_compared_by_spelling() -> None:
    async def work() -> None:
        limits = PoolLimits(processes=1, megabytes=8, failed_starts=2, start_seconds=20)
        async with MathPool(limits) as pool:
            equality = Equality(pool)
            assert (await equality.same("(x+1)(x-1)", "x^2-1")).why == "down"
            assert (await equality.same("(x+1)(x-2)", "(x + 1)(x - 2)")).same
            assert not (await equality.same("(x+1)(x-3)", "x")).same
            assert pool.is_down

    asyncio.run(work())


def test_formulas_that_are_compared_at_the_same_time_are_asked_once() -> None:
    async def work() -> None:
        async with MathPool(LIMITS) as pool:
            equality = Equality(pool)
            pairs = [equality.same("(x+1)^2", "x^2+2x+1") for _ in range(20)]
            assert all(verdict.same for verdict in await asyncio.gather(*pairs))
            assert equality.counts["cached"] >= 1
            assert equality.at_once("(x+1)^2", "x^2+2x+1") is not None

    asyncio.run(work())


def test_a_pattern_that_backtracks_for_ever_is_ended(math: RealPool) -> None:
    grader = Grader(math.pool)
    spec = AnswerSpec(pattern=r"(a+)+$")
    grade = math.run(grader.grade("a" * 40 + "b", "a", spec))
    assert not grade.right
    assert "slow" in grade.reason
    spec = AnswerSpec(pattern=r"Result=(\d+)")
    assert math.run(grader.grade("Result=7, Result=8.", "8", spec)).right


def test_the_loop_goes_on_while_formulas_are_compared() -> None:
    """Real time, and so with much to spare: the pool's work is in other processes."""

    async def work() -> float:
        largest = 0.0
        async with MathPool(PoolLimits(processes=1, seconds=1)) as pool:
            await pool.same("x", "x")
            task = asyncio.create_task(pool.same(BOMBS["sum"], BOMBS["integral"]))
            while not task.done():
                before = time.monotonic()
                await asyncio.sleep(0.01)
                largest = max(largest, time.monotonic() - before)
            await asyncio.gather(task, return_exceptions=True)
        return largest

    assert asyncio.run(work()) < 0.5


@pytest.mark.parametrize("formula", ["x^2+1", r"\frac{1}{2}", "2^{100}", "10!", r"\sqrt{2}^{10}"])
def test_what_is_no_bomb_is_not_taken_for_one(formula: str) -> None:
    assert not is_hostile(formula)
