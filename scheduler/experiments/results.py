"""The results of an experiment: one row a question that a policy was asked with a seed.

Cells are JSON lines, the source of all else; `results.jsonl` and `results.parquet` are the same
rows in one file each. `COLUMNS` is the schema, which docs/experiments.md shows.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from scheduler.experiments.cells import FOLDER
from scheduler.solving.outcome import read_outcomes

ColumnKind = Literal["text", "integer", "number", "truth", "texts", "integers", "truths"]
ResultRow = dict[str, Any]


class ResultColumn(NamedTuple):
    name: str
    kind: ColumnKind
    about: str


COLUMNS = (
    ResultColumn("engine", "text", "Label of the engine."),
    ResultColumn("model", "text", "The engine's model."),
    ResultColumn("questions", "text", "Label of the question set."),
    ResultColumn("policy", "text", "Label of the policy, with its place in a grid."),
    ResultColumn("seed", "integer", "Which run of the policy, from 0."),
    ResultColumn("turn", "integer", "When it was asked within the run, from 0."),
    ResultColumn("id", "text", "The question's id."),
    ResultColumn("class", "text", "The question's class."),
    ResultColumn("reference", "text", "The right answer."),
    ResultColumn("answer", "text", "The policy's answer; null: none."),
    ResultColumn("correct", "truth", "Whether it is right; null: the question could not be asked."),
    ResultColumn("tokens", "integer", "All tokens that were generated."),
    ResultColumn("reasoning_tokens", "integer", "Of them: thinking."),
    ResultColumn("final_tokens", "integer", "Of them: answers."),
    ResultColumn("forced_tokens", "integer", "Of them: appended by the scheduler."),
    ResultColumn("probe_tokens", "integer", "Of them: trial answers."),
    ResultColumn("discarded_tokens", "integer", "Of them: dropped."),
    ResultColumn("thinking_tokens", "integer", "Thinking of all chains, forced tokens included."),
    ResultColumn("chosen_tokens", "integer", "Thinking of the chain whose words are the reply."),
    ResultColumn("sequential_tokens", "integer", "The longest chain of each round, added up."),
    ResultColumn("seconds", "number", "From the question to the answer."),
    ResultColumn("rounds", "integer", "How often the policy waited for chains."),
    ResultColumn("chains", "integer", "Chains that were begun."),
    ResultColumn("extensions", "integer", "The most extensions of a chain."),
    ResultColumn("reward_calls", "integer", "Thinkings that a verifier has judged."),
    ResultColumn("chain_answers", "texts", "The answer of every chain, in the order drawn."),
    ResultColumn("chain_correct", "truths", "Whether each of these is right."),
    ResultColumn("chain_tokens", "integers", "Tokens of every chain."),
    ResultColumn("plan", "text", "What the policy meant to do, where it says so."),
    ResultColumn("propensity", "number", "With what probability it chose that plan."),
    ResultColumn("predicted", "number", "Predicted probability that the answer is right."),
    ResultColumn("agreement", "number", "Share of the votes that the answer got."),
    ResultColumn("stop_reason", "text", "Why the policy stopped."),
    ResultColumn("price", "number", "Accuracy that one token had to buy."),
    ResultColumn("labelled", "truth", "Whether the policy could learn from the right answer."),
    ResultColumn("judge_prompt", "text", "What the judge was asked of the answer, if one was."),
    ResultColumn("judge_reply", "text", "What it replied."),
    ResultColumn("error", "text", "Why there is no answer or no grade, where something failed."),
)
NAMES = tuple(column.name for column in COLUMNS)


def load_results(folder: Path) -> list[ResultRow]:
    """All rows of an experiment's complete cells, or of the outcome logs in a folder.

    Raises ValueError for a folder that is neither, or that has no results yet.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder")
    cells = folder / FOLDER
    paths = sorted((cells if cells.is_dir() else folder).glob("*.jsonl"))
    rows = [row for path in paths for row in _rows(path, is_cell=cells.is_dir())]
    if not rows:
        raise ValueError(f"{folder}: no outcome with a known answer in it")
    return rows


def read_cell(path: Path) -> list[ResultRow]:
    """The rows of one cell; a torn last line is left out."""
    return list(read_outcomes(path))


def write_results(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """results.jsonl and results.parquet of complete cells, in their order."""
    rows = [row for path in paths if path.is_file() for row in read_cell(path)]
    lines, parquet = folder / "results.jsonl", folder / "results.parquet"
    partial = lines.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.writelines(line_of(row) for row in rows)
    partial.replace(lines)
    _write_parquet(rows, parquet)
    return [lines, parquet]


def line_of(row: ResultRow) -> str:
    """A row with all columns, in their order."""
    return json.dumps({name: row.get(name) for name in NAMES}, ensure_ascii=False) + "\n"


def _write_parquet(rows: list[ResultRow], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "truth": pa.bool_(),
    }
    kinds = plain | {f"{kind}s": pa.list_(plain[kind]) for kind in ("text", "integer", "truth")}
    schema = pa.schema([(column.name, kinds[column.kind]) for column in COLUMNS])
    partial = path.with_suffix(".partial")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), partial, compression="zstd")
    partial.replace(path)


def _rows(path: Path, *, is_cell: bool) -> Iterator[ResultRow]:
    try:
        for line in read_outcomes(path):
            row = line if is_cell else _row_of_outcome(line)
            _ = row["policy"], row["class"], row["tokens"] + 0
            if row["correct"] is not None:
                yield row
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not an outcome log: {error!r}") from None


def _row_of_outcome(line: dict[str, Any]) -> ResultRow:
    """An outcome of a server, or of another run, as far as it tells."""
    return {
        "engine": "log",
        "questions": "log",
        "seed": 0,
        "id": line.get("question") or line.get("id"),
        "predicted": line.get("chance"),
        **{name: line.get(name) for name in ("policy", "seconds", "agreement", "answer")},
        "class": line["class"],
        "correct": line["correct"],
        "tokens": line["tokens"]["total"],
    }
