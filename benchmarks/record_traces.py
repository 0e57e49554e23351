"""Records how s1-pocket answers its question set when it is sampled: vote traces, one file a class.

    python -m benchmarks.record_traces [--questions N] [--samples N] [--out DIR] [--quick]

The model runs on real vLLM with the product's own engine, at temperature 1 and without a cap that
matters. `length` counts every token of the chain, forced ones included.
"""

import asyncio
import csv
import gzip
import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

import click

from benchmarks.goals import at_least, report
from policies.plan import Budget
from policies.sampling import SamplingParams
from scheduler.config import EngineConfig
from scheduler.engines.factory import make_engine
from scheduler.experiments.questions.load import load_questions
from scheduler.experiments.questions.question import Question
from scheduler.experiments.recordings import VOTE_COLUMNS
from scheduler.progress import Progress, progress
from workers.answers.grader import is_right
from workers.engine import Engine, SampleRequest
from workers.models import POCKET
from workers.sample import Sample

TRACES = Path(__file__).parent / "traces"
ANSWERED = 0.95
"""Goal: chains without an answer cast no vote, so that few may lack one."""
TEMPERATURE = 1.0
MAX_THINKING_TOKENS = 1000
ANSWER_TOKENS = 16
AT_ONCE = 8
"""Questions in flight; each of them brings all its samples."""


async def sample(engine: Engine, question: Question, samples: int) -> list[Sample]:
    """All chains of one question, by number."""
    request = SampleRequest(
        query=question.id,
        messages=(("user", question.question),),
        chains=tuple(range(samples)),
        budget=Budget(MAX_THINKING_TOKENS, answer_tokens=ANSWER_TOKENS),
        sampling=SamplingParams(TEMPERATURE),
    )
    async with aclosing(engine.sample(request)) as events:
        finished = [event async for event in events if isinstance(event, Sample)]
    return sorted(finished, key=lambda chain: chain.chain)


async def record(
    engine: Engine, questions: Sequence[Question], samples: int, bar: Progress
) -> list[list[Sample]]:
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(question: Question) -> list[Sample]:
        async with slots:
            chains = await sample(engine, question, samples)
        bar.advance(question.id)
        return chains

    return await asyncio.gather(*(one(question) for question in questions))


def rows(question: Question, chains: Sequence[Sample]) -> Iterator[tuple[object, ...]]:
    for chain in chains:
        answer = "" if chain.answer is None else chain.answer
        right = int(is_right(chain.answer, question.answer))
        yield question.id, chain.chain, chain.tokens, answer, right


def write(path: Path, questions: Sequence[Question], recorded: Sequence[Sequence[Sample]]) -> None:
    """Gzip without a time stamp: the same answers make the same file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(VOTE_COLUMNS)
    for question, chains in zip(questions, recorded, strict=True):
        writer.writerows(rows(question, chains))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


async def record_all(questions: int, samples: int, out: Path) -> float:
    """Returns the share of chains that gave an answer."""
    answered: list[bool] = []
    classes: dict[str, list[Question]] = {}
    for question in load_questions(POCKET):
        chosen = classes.setdefault(question.query_class, [])
        if len(chosen) < questions:
            chosen.append(question)
    engine = make_engine(EngineConfig(kind="vllm", model=POCKET))
    try:
        for name, chosen in classes.items():
            with progress(name, len(chosen)) as bar:
                recorded = await record(engine, chosen, samples, bar)
            write(out / f"pocket_{name}.csv.gz", chosen, recorded)
            answered += [chain.answer is not None for chains in recorded for chain in chains]
    finally:
        await engine.close()
    return sum(answered) / len(answered)


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--questions", default=200, type=click.IntRange(1), help="Of each class.")
@click.option("--samples", default=40, type=click.IntRange(1, 1024), help="Of each question.")
@click.option("--out", type=click.Path(path_type=Path), help="Default: the traces that ship.")
@click.option("--quick", is_flag=True, help="2 questions of each class, 4 samples, kept nowhere.")
def main(questions: int, samples: int, out: Path | None, quick: bool) -> None:
    if quick:
        questions, samples = min(questions, 2), min(samples, 4)
    with tempfile.TemporaryDirectory() as nowhere:
        folder = out or (Path(nowhere) if quick else TRACES)
        answered = asyncio.run(record_all(questions, samples, folder))
    report({"share of chains with an answer": at_least(answered, ANSWERED)})


if __name__ == "__main__":
    main()
