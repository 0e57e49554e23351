"""How long answers take to compare and to grade, also hostile ones, beside an event loop.

    python -m benchmarks.grading [--quick]

Plain answers (numbers, letters, words) are read and compared in the process itself, beside what was
done before: lower case, no spaces, no `$`, no commas. Formulas go to the pool of processes; each
pair is new to it. Hostile answers are bombs, deep nesting, code and noise of up to a megabyte. A
task ticks beside them on the same event loop: its largest delay is the lag. The last line is JSON.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

import click
import numpy as np

from benchmarks.goals import GoalResult, at_least, at_most, report
from scheduler.progress import progress
from workers.answers.equality import Equality
from workers.answers.find import find_answer
from workers.answers.forms import form_of
from workers.answers.grader import Grader
from workers.answers.math_pool import MathPool, PoolLimits

PLAIN, RATE, LAG = 300.0, 20.0, 250.0
"""Goals: microseconds of a plain answer, pairs of formulas a second, milliseconds of lag."""
TICK = 0.005
ANSWERED = 1.0
"""Share of hostile answers that get a grade."""


class HostileResult(NamedTuple):
    """`lag` in milliseconds; `graded` of all that were asked."""

    lag: float
    graded: int
    right: int
    seconds: float


def plain_replies(count: int, rng: Random) -> list[str]:
    """Each is new, so that nothing is remembered."""
    shapes = (
        lambda n: f"So it is \\boxed{{{n}}}.",
        lambda n: f"Answer: {n:,}",
        lambda n: f"The answer is {n}.5.",
        lambda n: f"**Final Answer:** {n} cm",
        lambda n: f"Answer: ${n}.00",
        lambda n: f"The correct answer is ({chr(65 + n % 5)}), as {n} shows.",
        lambda n: f"Answer: town {n}",
        lambda n: f"\\boxed{{\\frac{{{n}}}{{7}}}}",
    )
    return [shapes[at % len(shapes)](rng.randrange(10**6)) for at in range(count)]


def as_before(reply: str) -> str:
    """Plain normalising: what follows "Answer:", lower case, no spaces, `$` and commas."""
    _, _, answer = reply.rpartition("nswer:")
    return (answer or reply).casefold().translate({32: None, 36: None, 44: None}).strip(".*")


def ours(reply: str) -> None:
    answer = find_answer(reply)
    if answer is not None:
        form_of(answer)


def microseconds(work: Callable[[str], object], replies: Sequence[str]) -> float:
    """Of one reply: the median of batches, which other work on the machine moves little."""
    times = []
    for batch in _batches(replies, 100):
        began = time.perf_counter_ns()
        for reply in batch:
            work(reply)
        times.append((time.perf_counter_ns() - began) / 1000 / len(batch))
    return float(np.median(times))


def formula_pairs(count: int, rng: Random) -> Iterator[tuple[str, str]]:
    """Half of them are equal."""
    for at in range(count):
        a, b, wrong = rng.randrange(2, 10**4), rng.randrange(2, 99), at % 2
        yield (
            (f"(x+{a})(x-{b})", f"x^2+{a - b}x-{a * b + wrong}"),
            (f"\\frac{{{a}\\sqrt{{{b}}}}}{{{b}}}", f"\\frac{{{a + wrong}}}{{\\sqrt{{{b}}}}}"),
            (f"{a}\\sin^2 x+{a}\\cos^2 x+y", f"y+{a + wrong}"),
            (f"\\frac{{x}}{{{a}}}+\\frac{{x}}{{{b}}}", f"\\frac{{{a + b + wrong}x}}{{{a * b}}}"),
        )[at // 2 % 4]


def hostile_answers(count: int, rng: Random) -> Iterator[str]:
    """Bombs that are all different, many of them new to every check."""
    for at in range(count):
        n = rng.randrange(3, 10**4)
        yield (
            f"{n}**{n}**{n}",
            f"{n}^{{{n}^{{{n}}}}}",
            f"(10^{{{n % 9 + 3}}}+{n})!",
            "{" * n + "1" + "}" * n,
            "\\sqrt{" * (n % 300) + "2" + "}" * (n % 300),
            f"__import__('os').system('sleep {n}')",
            f"\\text{{eval(open('/etc/passwd').read()[{n}])}}",
            f"\\frac{{{n}}}{{0}}",
            "\\boxed{" * (n % 500) + str(n),
            "answer is " * (n % 2000) + str(n),
            "".join(rng.choices("\\{}()[]^_$&,;=<>+-*/!%~`'\"abcxyz0123456789 \n", k=n % 3000)),
            f"\\begin{{pmatrix}}{'1&' * (n % 900)}1\\end{{pmatrix}}",
            f"x^{{{n}}}" + "+x" * (n % 250),
            "1," * (n % 3000) + "2",
            "9" * n,
            chr(n) * (n % 500) + "٣" * 50,
        )[at % 16]
    yield from ("x+" * (1 << 19), "(" * (1 << 20), "1" * (1 << 20), "Answer: " * (1 << 17))


async def largest_lag(done: asyncio.Event) -> float:
    """Milliseconds that a task which wants to run every few milliseconds came late, at most."""
    worst, loop = 0.0, asyncio.get_running_loop()
    while not done.is_set():
        due = loop.time() + TICK
        await asyncio.sleep(TICK)
        worst = max(worst, loop.time() - due)
    return 1000 * worst


async def formulas(count: int, rng: Random, advance: Callable[[], None]) -> float:
    """Pairs a second, all of them under way at once."""
    async with MathPool(PoolLimits(processes=2)) as pool:
        await asyncio.gather(pool.same("x", "x+0"), pool.same("y", "y+0"))
        equality = Equality(pool)

        async def compare(pair: tuple[str, str]) -> bool:
            same = (await equality.same(*pair)).same
            advance()
            return same

        began = time.perf_counter()
        found = await asyncio.gather(*map(compare, formula_pairs(count, rng)))
        seconds = time.perf_counter() - began
    right = sum(same == (at % 2 == 0) for at, same in enumerate(found))
    print(f"  formulas: {count} pairs in {seconds:.1f} s, {right} as they should be")
    return count / seconds


async def hostile(count: int, rng: Random, advance: Callable[[], None]) -> HostileResult:
    done = asyncio.Event()
    async with MathPool(PoolLimits(processes=2, seconds=1)) as pool:
        await asyncio.gather(pool.same("x", "x+0"), pool.same("y", "y+0"))
        ticking = asyncio.create_task(largest_lag(done))
        grader, limit = Grader(pool), asyncio.Semaphore(8)

        async def grade(reply: str) -> bool:
            async with limit:
                grade = await grader.grade(reply, "x + 17")
                await asyncio.sleep(0)
                advance()
                return grade.right

        began = time.perf_counter()
        tasks = [grade(reply) for reply in hostile_answers(count, rng)]
        grades = await asyncio.gather(*tasks, return_exceptions=True)
        seconds = time.perf_counter() - began
        done.set()
        lag = await ticking
        print(f"  hostile: not decided by mathematics: {dict(pool.failures)}")
    graded = [grade for grade in grades if not isinstance(grade, BaseException)]
    return HostileResult(lag, len(graded), sum(graded), seconds)


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--quick", is_flag=True, help="A tenth of the answers.")
def main(quick: bool) -> None:
    part, rng = (10 if quick else 1), Random(0)
    plain, pairs, bombs = 20_000 // part, 2000 // part, 10_000 // part
    with progress("grading", pairs + bombs + 4 + 2) as bar:
        replies = plain_replies(plain, rng)
        before = microseconds(as_before, replies)
        bar.advance()
        now = microseconds(ours, replies)
        bar.advance()
        print(f"  plain answers: {now:.0f} us, plain normalising {before:.1f} us", flush=True)
        rate = asyncio.run(formulas(pairs, rng, bar.advance))
        print(f"  formulas: {rate:.0f} pairs a second", flush=True)
        worst = asyncio.run(hostile(bombs, rng, bar.advance))
        print(
            f"  hostile: {worst.graded} graded in {worst.seconds:.0f} s, {worst.right} right; "
            f"largest lag {worst.lag:.0f} ms",
            flush=True,
        )
    goals: dict[str, GoalResult] = {
        "microseconds of a plain answer": at_most(now, PLAIN),
        "pairs of formulas a second": at_least(rate, RATE),
        "share of hostile answers that are graded": at_least(worst.graded / (bombs + 4), ANSWERED),
        "hostile answers that are graded right": at_most(worst.right, 0),
        "lag of the loop beside hostile answers, milliseconds": at_most(worst.lag, LAG),
    }
    report(goals)


if __name__ == "__main__":
    main()
