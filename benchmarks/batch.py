"""Batch jobs: what durability and budgets cost and bring.

1. Rows a second of `thinkbudget batch run` and of `python -m vllm.entrypoints.openai.run_batch` on
   the same file and model, one after the other on this machine, each in a process of its own and
   both with the time to load the model. Scheduling is off (one chain a row) and on (`priced`, with
   the tokens that the job takes).
2. Tokens of a job with a budget over those of the best mix of single settings at its accuracy, on
   s1-pocket, and how much of the budget it spent.
3. Two engines against one: simulated ones whose chains take time, in virtual time and as replicas
   on a Ray cluster of this machine; and real ones there, where they share its cores.
4. What knowing all rows brings: accuracy of a job in passes over all rows less that of one pass
   with a steered price, for the same tokens, on the simulated population, with the 95 % interval
   over seeds; and the best single setting with the same tokens.
5. Rows a second and memory from few rows to many, with an answer that costs nothing.
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.goals import GoalResult, at_least, at_most, report
from benchmarks.serving.batch_engines import engines_on_ray
from benchmarks.serving.batch_tokens import tokens_and_budgets
from benchmarks.serving.batch_vllm import against_vllm
from policies import build
from policies.price import Price
from scheduler.api.chat import complete
from scheduler.batch.asking import plain
from scheduler.batch.budget.goals import Goals
from scheduler.batch.budget.steered import SteeredBudget
from scheduler.batch.budget.sweeps import Sweeps
from scheduler.batch.durability.output import Output
from scheduler.batch.inputs.files import read_rows
from scheduler.batch.inputs.row import Row
from scheduler.batch.job import BatchPass, Summary
from scheduler.batch.storage import locate
from scheduler.curves.wal import DurableCurveStore
from scheduler.engines.failover import FailoverEngine
from scheduler.engines.local_pool import LocalEnginePool
from scheduler.solving.controller import Controller
from scheduler.solving.pricing import Pricing
from workers.engine import Engine
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import questions

PER_ROW = 220
CONCURRENCY = 16
Measure = Callable[[], dict[str, GoalResult]]
GOAL_REPLICAS = 1.6
GOAL_FLAT = 0.8
GOAL_MEGABYTES = 500.0


class Quiet:
    def advance(self, note: str = "") -> None:
        """Nothing is shown."""


@contextmanager
def quiet(what: str, total: int, done: int) -> Iterator[Quiet]:
    yield Quiet()


class Reached(NamedTuple):
    accuracy: float
    tokens: int


async def controller_of(engine: Engine, policy: str = "priced", **options: Any) -> Controller:
    return Controller(
        engine=engine,
        info=await engine.info(),
        policy=build(policy, **options),
        curves=DurableCurveStore(),
        pricing=Pricing(Price()),
    )


def body_of(question: dict[str, str]) -> dict[str, Any]:
    return {
        "model": "simulated",
        "messages": [{"role": "user", "content": question["question"]}],
        "thinkbudget": {
            "query_class": question["class"],
            "reference_answer": question["answer"],
        },
    }


def population(count: int, seed: int) -> list[Row]:
    return [
        Row(number, str(number), body_of(question))
        for number, question in enumerate(questions(count, seed), start=1)
    ]


def one_pass(
    rows: list[Row], output: Output, ask: Any, *, concurrency: int = CONCURRENCY
) -> BatchPass:
    return BatchPass(
        rows,
        output,
        ask,
        lambda row, answered: output.answer(row.custom_id, answered.line),
        done=output.done,
        concurrency=concurrency,
        progress=Quiet(),
    )


@contextmanager
def fresh() -> Iterator[Output]:
    with tempfile.TemporaryDirectory() as folder:
        output = Output(locate(f"{folder}/out.jsonl"))
        output.begin({})
        yield output
        output.close()


def reached(output: Output) -> Reached:
    bodies = [json.loads(line)["response"]["body"] for line in output.answers.lines()]
    right = sum(bool(body["thinkbudget"]["correct"]) for body in bodies)
    return Reached(right / len(bodies), sum(b["usage"]["completion_tokens"] for b in bodies))


def in_passes(count: int, seed: int) -> Reached:
    rows, tokens = population(count, seed), count * PER_ROW
    with fresh() as output:

        async def main() -> None:
            controller = await controller_of(SimulatedEngine(seed=seed))
            await Sweeps(
                controller,
                output,
                lambda: iter(rows),
                count,
                Goals(tokens=tokens),
                options={},
                model="simulated",
                concurrency=CONCURRENCY,
                bar=quiet,
            ).run()

        run_virtual(main())
        return reached(output)


def steered(count: int, seed: int) -> Reached:
    rows, tokens = population(count, seed), count * PER_ROW
    with fresh() as output:

        async def main() -> None:
            controller = await controller_of(SimulatedEngine(seed=seed))
            budget = SteeredBudget(partial(complete, controller), {}, tokens=tokens, rows=count)
            await one_pass(rows, output, budget.ask).run()

        run_virtual(main())
        return reached(output)


def fixed(count: int, seed: int, policy: str, **options: Any) -> Reached:
    with fresh() as output:

        async def main() -> None:
            controller = await controller_of(SimulatedEngine(seed=seed), policy, **options)
            ask = plain(partial(complete, controller), {})
            await one_pass(population(count, seed), output, ask).run()

        run_virtual(main())
        return reached(output)


def knowing_all_rows(count: int, seeds: int) -> dict[str, GoalResult]:
    """Passes over all rows against one pass, and against the best single setting."""
    settings: list[tuple[str, dict[str, Any]]] = [
        *(("fixed", {"extensions": number}) for number in range(4)),
        *(("majority", {"samples": number}) for number in (1, 2, 4)),
    ]
    gains, over, spent = [], [], []
    for seed in range(seeds):
        passes, one = in_passes(count, seed), steered(count, seed)
        within = [fixed(count, seed, name, **options) for name, options in settings]
        best = max((each for each in within if each.tokens <= passes.tokens), default=None)
        gains.append(100 * (passes.accuracy - one.accuracy))
        over.append(100 * (passes.accuracy - best.accuracy) if best else 0.0)
        spent.append(passes.tokens / (count * PER_ROW))
        print(
            f"seed {seed}: passes {passes.accuracy:.1%}, one pass {one.accuracy:.1%}, best single "
            f"setting {best.accuracy if best else 0:.1%}; {spent[-1]:.2%} of the budget",
            flush=True,
        )
    print(f"passes over one pass: {interval(gains)} points ({count} rows, {seeds} seeds)")
    print(f"passes over the best single setting: {interval(over)} points", flush=True)
    return {
        "points of accuracy by knowing all rows": at_least(statistics.fmean(gains), 0.0),
        "points over the best single setting": at_least(statistics.fmean(over), 0.0),
        "most of a budget that was spent": at_most(max(spent), 1.01),
    }


def interval(values: list[float]) -> str:
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:+.2f}"
    reach = 1.96 * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:+.2f} ({mean - reach:+.2f} to {mean + reach:+.2f})"


def two_engines(count: int) -> dict[str, GoalResult]:
    """Rows a second of virtual time with two engines over that with one."""

    def seconds(engines: int) -> float:
        with fresh() as output:

            async def main() -> float:
                pool = LocalEnginePool(
                    lambda name: SimulatedEngine(replica=name, slots=4), map(str, range(engines))
                )
                controller = await controller_of(FailoverEngine(pool), "fixed")
                loop = asyncio.get_running_loop()
                ask, began = plain(partial(complete, controller), {}), loop.time()
                await one_pass(population(count, 0), output, ask, concurrency=32).run()
                return loop.time() - began

            return run_virtual(main())

    ratio = seconds(1) / seconds(2)
    print(f"two engines: {ratio:.2f} times the rows a second of one", flush=True)
    return {"two engines / one": at_least(ratio, GOAL_REPLICAS)}


def many_rows(few: int, many: int) -> dict[str, GoalResult]:
    """Rows a second and memory of the job itself, in a process of its own."""
    rates = {}
    for count in (few, many):
        code = f"from benchmarks.batch import job_alone; job_alone({count})"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        rates[count] = json.loads(ran.stdout.splitlines()[-1])
        print(f"{count:,} rows: {rates[count]}", flush=True)
    ratio = rates[many]["rows_per_second"] / rates[few]["rows_per_second"]
    return {
        f"rows/s at {many:,} / at {few:,}": at_least(ratio, GOAL_FLAT),
        f"MB at {many:,} rows": at_most(rates[many]["megabytes"], GOAL_MEGABYTES),
    }


def job_alone(count: int) -> None:
    """A job of so many rows whose answers cost nothing; prints one line of JSON."""

    async def answer(body: dict[str, Any]) -> dict[str, Any]:
        return {"id": "x", "choices": [], "usage": {"completion_tokens": 1}}

    async def main(source: Path, output: Output) -> Summary:
        rows = read_rows(locate(str(source)))
        one = one_pass(rows, output, plain(answer, {}))  # type: ignore[arg-type]
        return await one.run()

    with fresh() as output:
        source = Path(output.out.path).with_name("in.jsonl")
        with source.open("w") as file:
            for number in range(count):
                body = {"messages": [{"role": "user", "content": f"question {number}"}]}
                file.write(json.dumps({"custom_id": f"row-{number}", "body": body}) + "\n")
        began = time.monotonic()
        summary = asyncio.run(main(source, output))
        output.publish()
        seconds = time.monotonic() - began
    assert summary.answered == count
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rate = {"rows_per_second": round(count / seconds), "megabytes": round(megabytes)}
    print(json.dumps(rate))


PARTS: dict[str, tuple[Measure, Measure]] = {
    "simulated-engines": (partial(two_engines, 400), partial(two_engines, 60)),
    "rows": (partial(many_rows, 10_000, 1_000_000), partial(many_rows, 2_000, 20_000)),
    "passes": (partial(knowing_all_rows, 1000, 10), partial(knowing_all_rows, 100, 2)),
    "vllm": (partial(against_vllm, 1000), partial(against_vllm, 30)),
    "tokens": (partial(tokens_and_budgets, 400), partial(tokens_and_budgets, 20)),
    "engines": (partial(engines_on_ray, 1500, 1000), partial(engines_on_ray, 100, 200, 1)),
}
"""What is measured, by name: in full, and with `--quick`. The last three run real models."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--part", choices=PARTS, action="append", help="Only this; repeatable.")
    given = options.parse_args()
    goals: dict[str, GoalResult] = {}
    for part in given.part or PARTS:
        full, quick = PARTS[part]
        goals |= (quick if given.quick else full)()
    report(goals)


if __name__ == "__main__":
    main()
